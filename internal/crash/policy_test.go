//go:build unix

package crash

import (
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// shortLease is the lease of servers that are killed or stopped.
const shortLease = time.Second

// mortal is the policy of a server that will be killed or stopped.
func mortal(g onlyonce.Guarantee) onlyonce.Policy {
	p := sound(g)
	p.Lease = shortLease

	return p
}

// sound is the policy of a server that will not be.
func sound(g onlyonce.Guarantee) onlyonce.Policy {
	return onlyonce.Policy{Guarantee: g, Lease: 2 * patience, MaxRun: 2 * patience, MaxWait: patience}
}

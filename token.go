package onlyonce

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// newToken makes an owner token of 128 random bits. A token is no secret, because only programs that can write to the store can use it. But
// two claims of a key must never have the same token: the later claim would pass for a copy of the earlier. The bits come from ChaCha8,
// which the runtime seeds from the system for each process. The time of the claim is mixed in, because processes that were restored from
// one snapshot share the state of ChaCha8.
func newToken(at time.Time) store.Token { return tokenOf(rand.Uint64(), rand.Uint64(), at) } //nolint:gosec // see above

func tokenOf(high, low uint64, at time.Time) store.Token {
	var t store.Token

	binary.BigEndian.PutUint64(t[:8], high)
	binary.BigEndian.PutUint64(t[8:], low^uint64(at.UnixNano()))

	return t
}

//go:build unix

package redistest

import "github.com/onlyonce-go/onlyonce/internal/proxytest"

// Fault happens to a command on its way. The commands that follow it in the pipeline are lost or late with it.
type Fault = proxytest.Fault

// The faults, which [proxytest.Fault] explains.
const (
	Passed      = proxytest.Passed
	LostReply   = proxytest.LostReply
	LostRequest = proxytest.LostRequest
	Late        = proxytest.Late
	Hung        = proxytest.Hung
)

// Armed is a fault that waits for its command.
type Armed = proxytest.Armed[Command]

//go:build unix

package sqltest

import "github.com/onlyonce-go/onlyonce/internal/proxytest"

// Fault happens to a statement on its way. The other statements of its batch are lost or late with it.
type Fault = proxytest.Fault

// The faults, which [proxytest.Fault] explains.
const (
	Passed      = proxytest.Passed
	LostReply   = proxytest.LostReply
	LostRequest = proxytest.LostRequest
	Late        = proxytest.Late
	Hung        = proxytest.Hung
)

// Armed is a fault that waits for its statement.
type Armed = proxytest.Armed[Statement]

// request is a client's request on its way.
type request = proxytest.Request[Statement]

// dialogue is a protocol on one connection.
type dialogue = proxytest.Dialogue[Statement]

// add records that a request executes a statement. It reports whether the statement is more than housekeeping.
func add(q *request, text string) bool {
	s := Statement{Text: oneLine(text)}
	if s.isHousekeeping() {
		return false
	}

	q.Commands = append(q.Commands, s)

	return true
}

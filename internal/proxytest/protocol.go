//go:build unix

package proxytest

import (
	"bufio"
	"errors"
)

// ErrProtocol says that one side does not speak the protocol, or speaks a part of it that the dialogue does not know. A
// dialogue wraps it, and the test fails.
var ErrProtocol = errors.New("not understood")

// Dialogue is a protocol on one connection. One goroutine reads the requests, another one the replies.
type Dialogue[C any] interface {
	// Greeting returns a request for what the server sends first, and nil if the client begins.
	Greeting() *Request[C]
	// Request reads what a client sends up to where it may wait for a reply.
	Request(r *bufio.Reader) (*Request[C], error)
	// Reply reads a message of the server. The request is the oldest one without a complete reply, nil if there is none.
	Reply(r *bufio.Reader, to *Request[C]) (Reply, error)
}

// Request is what a client has sent, on its way.
type Request[C any] struct {
	Raw      []byte
	Commands []C  // faults are chosen by these; housekeeping has none
	Counts   bool // as a round trip
	Silent   bool // the server sends no reply
	Kind     byte // free for the dialogue

	armed    *Armed[C]     // the fault that befalls its reply
	answered chan struct{} // closed when the reply is complete
	reply    []byte        // the last message of the reply
}

// Reply is a message of the server.
type Reply struct {
	Raw      []byte
	Unasked  bool // it is no part of a reply: a message to a subscriber, or a notice
	Complete bool // it is the last message of the reply
}

// Record is a command that a client has sent, and what became of it.
type Record[C any] struct {
	Command C
	Fault   Fault
}

//go:build unix

package sqltest

import (
	"bufio"
	"errors"
	"net"
)

// dialogue is a protocol on one connection. The two directions are read by two goroutines.
type dialogue interface {
	// greeting returns what the server answers without being asked.
	greeting() []*request
	// request reads what a client sends up to where it may wait for a reply.
	request(r *bufio.Reader) (*request, error)
	// reply reads a message of the server, which belongs to the oldest request that is not answered, if there is one.
	reply(r *bufio.Reader, to *request) (reply, error)
}

// request is what a client has sent, on its way.
type request struct {
	raw        []byte
	statements []Statement
	kind       byte
	text       string // of what is prepared
	counts     bool   // as a round trip
	silent     bool   // there is no reply
	armed      *Armed
	answered   chan struct{} // closed when the reply is complete
	progress   progress      // of the reply
}

// reply is a message of the server.
type reply struct {
	raw      []byte
	complete bool // the request is answered
}

// errProtocol says that somebody speaks differently.
var errProtocol = errors.New("not understood")

// line is a connection of a client, and the one to the server that it stands for.
//
// It ends from both sides. When the client has gone, the server is told so after everything that was sent before, and the
// rest of its replies is read and dropped. When the server has gone, so is the client's connection.
type line struct {
	proxy    *Proxy
	dialogue dialogue
	client   net.Conn
	server   *net.TCPConn
	ended    chan struct{}

	// Guarded by the proxy.
	pending []*request // that the server has not answered
	waiting int        // those of them that count
}

// burst is how many bytes are read in one go, at most.
const burst = 1 << 16

// forward passes requests on.
func (l *line) forward() {
	r := bufio.NewReaderSize(l.client, burst)
	counted := false

	for {
		continued := counted && r.Buffered() > 0

		request, err := l.dialogue.request(r)
		if err != nil {
			if errors.Is(err, errProtocol) {
				l.proxy.tb.Errorf("a client of %s: %v", l.proxy.target, err)
			}

			l.hangUp()

			return
		}

		counted = request.counts

		switch armed := l.admit(request, continued); {
		case armed == nil:
			l.pass(request)
		case armed.fault == Late: // the server's side stays open for it
			armed.happen(func() { l.client.Close() })

			return
		default:
			armed.happen(l.hangUp)

			return
		}
	}
}

// hangUp ends the client's connection, and the server's after what it has been sent.
func (l *line) hangUp() {
	l.client.Close()
	_ = l.server.CloseWrite() // an error says that it has gone
}

// admit counts a request, and returns the fault that keeps it from the server, if any.
func (l *line) admit(r *request, continued bool) *Armed {
	x := l.proxy

	x.mu.Lock()
	defer x.mu.Unlock()

	if r.counts && l.waiting == 0 && !continued {
		x.trips++
	}

	if len(r.statements) == 0 {
		return nil
	}

	armed := x.choose(r)

	for i := range r.statements {
		if armed != nil {
			r.statements[i].Fault = armed.fault
		}

		x.statements = append(x.statements, r.statements[i])
	}

	if armed != nil && armed.fault == Late {
		armed.late = append(armed.late, delayed{l, r})
	}

	if armed != nil && (armed.fault == Late || armed.fault == LostRequest) {
		return armed
	}

	r.armed = armed

	return nil
}

// pass gives a request to the server.
func (l *line) pass(r *request) {
	if !r.silent {
		l.proxy.mu.Lock()
		l.pending = append(l.pending, r)

		if r.counts {
			l.waiting++
		}
		l.proxy.mu.Unlock()
	}

	_, _ = l.server.Write(r.raw) // where it fails the line ends
}

// backward passes replies on until the server has no more.
func (l *line) backward() {
	defer l.client.Close()

	r, w := bufio.NewReaderSize(l.server, burst), bufio.NewWriterSize(l.client, burst)
	silent := false

	for {
		to, err := l.next(r)
		if err != nil {
			_ = w.Flush() // what came before its end

			return
		}

		reply, err := l.dialogue.reply(r, to)
		if err != nil {
			if errors.Is(err, errProtocol) {
				l.proxy.tb.Errorf("server %s: %v", l.proxy.target, err)
			}

			_ = w.Flush()

			return
		}

		stalled := l.note(to, reply)
		isLost := to != nil && to.armed != nil && to.armed.fault != Passed

		if stalled != nil || isLost {
			_ = w.Flush() // what is not to be held back
		}

		if isLost && reply.complete {
			silent = true

			to.armed.happen(func() {
				if to.armed.fault == LostReply {
					l.client.Close()
				}
			})
		}

		if silent || isLost {
			continue
		}

		if stalled != nil {
			select {
			case <-stalled:
			case <-l.proxy.ended:
			}
		}

		_, _ = w.Write(reply.raw) // where it fails the client has gone
		if r.Buffered() == 0 || stalled != nil {
			_ = w.Flush()
		}
	}
}

// next returns the request that the server is about to answer, if any, when it says something.
func (l *line) next(r *bufio.Reader) (*request, error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}

	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()

	if len(l.pending) == 0 {
		return nil, nil //nolint:nilnil // it speaks without being asked
	}

	return l.pending[0], nil
}

// note marks a request as answered, and returns what the reply has to wait for.
func (l *line) note(to *request, reply reply) (stalled <-chan struct{}) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()

	if to != nil && reply.complete {
		l.pending = l.pending[1:]

		if to.counts {
			l.waiting--
		}

		close(to.answered)
	}

	return l.proxy.stalled
}

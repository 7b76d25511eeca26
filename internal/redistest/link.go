//go:build unix

package redistest

import (
	"bufio"
	"errors"
	"net"
	"strings"
)

// link is a connection of a client, and the one to the server that it stands for.
//
// It ends from both sides. When the client has gone, the server is told so after everything that was sent before, and the
// rest of its replies is read and dropped. When the server has gone, so is the client's connection.
type link struct {
	plan   *Plan
	target string
	client net.Conn
	server *net.TCPConn
	ended  chan struct{}

	// Guarded by the plan.
	pending    []*request // that the server has not answered
	waiting    int        // those of them that count
	subscribed bool
}

// request is a command on its way.
type request struct {
	command       Command
	raw           []byte
	armed         *Armed // what befalls it
	confirmations int    // still to come, of a subscription

	reply    []byte
	answered chan struct{} // closed when there is a reply
}

// burst is how many bytes a client sends in one go, at most: those of a pipeline are read, and passed on, together.
const burst = 1 << 18

// forward passes requests on.
func (l *link) forward() {
	r := bufio.NewReaderSize(l.client, burst)

	for {
		requests, err := readBurst(r, l.target)
		passed, armed := l.admit(requests)

		for _, request := range passed {
			if _, failed := l.server.Write(request.raw); failed != nil {
				err = failed // what is behind it sees that, too
			}
		}

		if errors.Is(err, errProtocol) {
			l.plan.tb.Errorf("a client of %s: %v", l.target, err)
		}

		switch {
		case armed != nil && armed.fault == Late: // the server's side stays open for it
			armed.happen(func() { l.client.Close() })

			return
		case armed != nil:
			armed.happen(l.hangUp)

			return
		case err != nil:
			l.hangUp()

			return
		}
	}
}

// hangUp ends the client's connection, and the server's after what it has been sent.
func (l *link) hangUp() {
	l.client.Close()
	_ = l.server.CloseWrite() // an error says that it has gone
}

// readBurst reads what the client has sent in one go. What comes before an error is returned, too.
func readBurst(r *bufio.Reader, target string) (requests []*request, err error) {
	for len(requests) == 0 || r.Buffered() > 0 {
		words, raw, err := readRequest(r)
		if err != nil {
			return requests, err
		}

		command := Command{Name: strings.ToLower(words[0]), Args: words[1:], Server: target}
		requests = append(requests, &request{
			command: command, raw: raw, confirmations: command.confirmations(), answered: make(chan struct{}),
		})
	}

	return requests, nil
}

// admit returns what the server is to get of a burst, and the fault that befalls the rest.
func (l *link) admit(requests []*request) (passed []*request, armed *Armed) {
	p := l.plan

	p.mu.Lock()
	defer p.mu.Unlock()

	waiting := l.waiting

	for i, request := range requests {
		if request.command.isHousekeeping() {
			continue
		}

		if waiting == 0 {
			p.trips++
			waiting++
		}

		if armed != nil { // of one before it
			request.command.Fault = armed.fault
		} else if request.armed = p.choose(request.command); request.armed != nil {
			request.command.Fault = request.armed.fault

			if request.armed.fault == LostRequest || request.armed.fault == Late {
				armed = request.armed
				passed = requests[:i]

				if armed.fault == Late {
					armed.late = append(armed.late, &delayed{l, requests[i:]})
				}
			}
		}

		p.commands = append(p.commands, request.command)
	}

	if armed == nil {
		passed = requests
	}

	l.expect(passed)

	return passed, armed
}

// expect notes that the server will reply. It is called with the lock.
func (l *link) expect(requests []*request) {
	l.pending = append(l.pending, requests...)

	for _, request := range requests {
		if !request.command.isHousekeeping() {
			l.waiting++
		}

		l.subscribed = l.subscribed || request.confirmations > 0
	}
}

// sendLate passes requests on that had been held back.
func (l *link) sendLate(requests []*request) {
	l.plan.mu.Lock()
	l.expect(requests)
	l.plan.mu.Unlock()

	for _, request := range requests {
		_, _ = l.server.Write(request.raw) // where it fails the link ends
	}

	_ = l.server.CloseWrite()
}

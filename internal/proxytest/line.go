//go:build unix

package proxytest

import (
	"bufio"
	"errors"
	"net"
)

// line is a connection of a client, and the connection to the server that it stands for.
//
// It ends from both sides. When the client has gone, the server learns it after everything that was sent before, and the
// rest of its replies is read and dropped. When the server has gone, so is the client's connection.
type line[C any] struct {
	plan     *Plan[C]
	target   string
	dialogue Dialogue[C]
	client   net.Conn
	server   *net.TCPConn
	ended    chan struct{}

	// Guarded by the plan.
	pending []*Request[C] // that the server has not answered
	waiting int           // those of them that count
	dead    bool          // no reply passes any more
}

// burst is how many bytes a client sends in one go, at most: the requests among them are read, and passed on, together.
const burst = 1 << 18

// open adds the line to its plan, and reports whether the plan lets clients in.
func (l *line[C]) open() bool {
	p := l.plan

	p.mu.Lock()
	defer p.mu.Unlock()

	if p.closed || p.down {
		return false
	}

	p.lines[l] = struct{}{}

	if greeting := l.dialogue.Greeting(); greeting != nil {
		l.expect([]*Request[C]{greeting})
	}

	return true
}

// end takes the line out of its plan.
func (l *line[C]) end() {
	l.plan.mu.Lock()
	defer l.plan.mu.Unlock()

	delete(l.plan.lines, l)
	close(l.ended)
}

// forward passes requests on.
func (l *line[C]) forward() {
	r := bufio.NewReaderSize(l.client, burst)

	for {
		requests, err := l.readBurst(r)
		passed, armed := l.admit(requests)

		if failed := l.write(passed); failed != nil {
			err = failed // later requests would see that, too
		}

		l.report(err, "a client of")

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

// report fails the test if one side is not understood.
func (l *line[C]) report(err error, side string) {
	if errors.Is(err, ErrProtocol) {
		l.plan.tb.Errorf("%s %s: %v", side, l.target, err)
	}
}

// hangUp ends the client's connection, and the server's after what it has been sent.
func (l *line[C]) hangUp() {
	l.client.Close()
	_ = l.server.CloseWrite() // an error says that it has gone
}

// readBurst reads what the client has sent in one go. It returns the requests before an error, too.
func (l *line[C]) readBurst(r *bufio.Reader) (requests []*Request[C], err error) {
	for len(requests) == 0 || r.Buffered() > 0 {
		request, err := l.dialogue.Request(r)
		if err != nil {
			return requests, err
		}

		requests = append(requests, request)
	}

	return requests, nil
}

// admit records a burst. It returns what the server gets of it, and the fault that keeps the rest from the server.
func (l *line[C]) admit(requests []*Request[C]) (passed []*Request[C], armed *Armed[C]) {
	p := l.plan

	p.mu.Lock()
	defer p.mu.Unlock()

	passed = requests
	counted := l.waiting > 0

	for i, request := range requests {
		if request.Counts && !counted {
			p.trips++
			counted = true
		}

		fault := armed // of a request before it

		if fault == nil {
			fault = p.choose(request)
			request.armed = fault

			if fault.keepsFromServer() {
				armed, passed = fault, requests[:i]

				if fault.fault == Late {
					fault.late = append(fault.late, delayed[C]{l, requests[i:]})
				}
			}
		}

		for _, command := range request.Commands {
			record := Record[C]{Command: command}
			if fault != nil {
				record.Fault = fault.fault
			}

			p.records = append(p.records, record)
		}
	}

	l.expect(passed)

	return passed, armed
}

// expect notes that the server will reply. The caller holds the lock.
func (l *line[C]) expect(requests []*Request[C]) {
	for _, request := range requests {
		request.answered = make(chan struct{})

		if request.Silent {
			continue
		}

		l.pending = append(l.pending, request)

		if request.Counts {
			l.waiting++
		}
	}
}

// send passes requests on that had been held back.
func (l *line[C]) send(requests []*Request[C]) error {
	l.plan.mu.Lock()
	l.expect(requests)
	l.plan.mu.Unlock()

	return l.write(requests)
}

// write gives requests to the server.
func (l *line[C]) write(requests []*Request[C]) error {
	for _, request := range requests {
		if _, err := l.server.Write(request.Raw); err != nil {
			return err
		}
	}

	return nil
}

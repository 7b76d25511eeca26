//go:build unix

package proxytest

import "bufio"

// backward passes replies on until the server has no more.
func (l *line[C]) backward() {
	defer l.client.Close()

	r, w := bufio.NewReaderSize(l.server, burst), bufio.NewWriterSize(l.client, burst)
	silent := false

	for {
		to, reply, err := l.read(r)
		if err != nil {
			l.report(err, "server")

			_ = w.Flush() // what came before its end

			return
		}

		armed, stalled := l.note(to, reply)

		if armed != nil || stalled != nil {
			_ = w.Flush() // what is neither lost nor held back
		}

		if armed != nil && reply.Complete {
			silent = true

			armed.happen(func() {
				if armed.fault == LostReply {
					l.client.Close()
				}
			})
		}

		if silent || armed != nil || l.isDead() {
			continue
		}

		if stalled != nil {
			select {
			case <-stalled:
			case <-l.plan.ended:
			}
		}

		_, _ = w.Write(reply.Raw) // where it fails the client has gone
		if r.Buffered() == 0 || stalled != nil {
			_ = w.Flush()
		}
	}
}

// isDead reports whether the connection has died in silence.
func (l *line[C]) isDead() bool {
	l.plan.mu.Lock()
	defer l.plan.mu.Unlock()

	return l.dead
}

// read returns a message of the server, and the oldest request without a complete reply, if any.
func (l *line[C]) read(r *bufio.Reader) (to *Request[C], reply Reply, err error) {
	// What the server replies to is known when the reply begins, and not before.
	if _, err := r.Peek(1); err != nil {
		return nil, Reply{}, err
	}

	l.plan.mu.Lock()
	if len(l.pending) > 0 {
		to = l.pending[0]
	}
	l.plan.mu.Unlock()

	reply, err = l.dialogue.Reply(r, to)

	return to, reply, err
}

// note marks a request as answered when its reply is complete. It returns the fault that befalls the reply, and what the
// reply has to wait for.
func (l *line[C]) note(to *Request[C], reply Reply) (armed *Armed[C], stalled <-chan struct{}) {
	p := l.plan

	p.mu.Lock()
	defer p.mu.Unlock()

	if to == nil || reply.Unasked {
		return nil, p.stalled
	}

	if reply.Complete {
		l.pending = l.pending[1:]

		if to.Counts {
			l.waiting--
		}

		to.reply = reply.Raw
		close(to.answered)
	}

	if to.armed != nil && (to.armed.fault == LostReply || to.armed.fault == Hung) {
		armed = to.armed
	}

	return armed, p.stalled
}

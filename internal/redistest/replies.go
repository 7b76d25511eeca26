//go:build unix

package redistest

import (
	"bufio"
	"errors"
)

// backward passes replies on until the server has no more.
func (l *link) backward() {
	defer l.client.Close()

	r, w := bufio.NewReaderSize(l.server, burst), bufio.NewWriterSize(l.client, burst)
	silent := false

	for {
		reply, err := readReply(r)
		if err != nil {
			if errors.Is(err, errProtocol) {
				l.plan.tb.Errorf("server %s: %v", l.target, err)
			}

			_ = w.Flush() // what came before its end

			return
		}

		armed, stalled := l.attribute(reply)
		if armed == nil && stalled == nil && !silent {
			_, _ = w.Write(reply.raw) // where it fails the client has gone
			if r.Buffered() == 0 {
				_ = w.Flush()
			}

			continue
		}

		_ = w.Flush() // what was not to be lost or held back

		if armed != nil {
			silent = true

			armed.happen(func() {
				if armed.fault == LostReply {
					l.client.Close()
				}
			})
		}

		if silent {
			continue
		}

		select {
		case <-stalled:
		case <-l.plan.ended:
		}

		_, _ = w.Write(reply.raw)
		_ = w.Flush()
	}
}

// attribute finds out whose reply it is. It returns the fault that befalls it, and what it has to wait for.
func (l *link) attribute(reply reply) (armed *Armed, stalled <-chan struct{}) {
	l.plan.mu.Lock()
	defer l.plan.mu.Unlock()

	request := l.take(reply)
	if request == nil {
		return nil, l.plan.stalled
	}

	request.reply = reply.raw
	close(request.answered)

	if !request.command.isHousekeeping() {
		l.waiting--
	}

	if request.armed != nil && (request.armed.fault == LostReply || request.armed.fault == Hung) {
		armed = request.armed
	}

	return armed, l.plan.stalled
}

// take removes the request that has got its reply, and returns none if it was something else: a message to a subscriber,
// or one of several confirmations.
func (l *link) take(reply reply) *request {
	if len(l.pending) == 0 {
		return nil
	}

	first := l.pending[0]
	confirmation := (reply.kind == '>' || reply.kind == '*') && l.subscribed && isSubscription(reply.text)

	switch {
	case confirmation && first.confirmations == 0:
		return nil
	case confirmation:
		first.confirmations--
		if first.confirmations > 0 {
			return nil
		}
	case reply.kind == '>':
		return nil
	case reply.kind == '*' && l.subscribed && isMessage(reply.text):
		return nil
	}

	l.pending = l.pending[1:]

	return first
}

// isMessage reports whether an array with this first element is something that was published.
func isMessage(word string) bool {
	return word == "message" || word == "pmessage" || word == "smessage"
}

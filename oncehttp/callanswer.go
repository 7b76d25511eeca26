package oncehttp

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// deliver sends the answer of the handler itself.
func (c *call) deliver(status onlyonce.Status, retention time.Duration) {
	a := c.recorder.answer()
	h := c.w.Header()

	switch a.delivery {
	case hijacked:
	case streamed:
		for _, f := range a.trailer {
			if _, declared := h[f.name]; declared || contains(h[trailerName], f.name) {
				h[f.name] = f.values
			} else {
				h[http.TrailerPrefix+f.name] = f.values
			}
		}

		c.announce(h, status, retention)

		if a.short { // the client does not know the length that the handler has declared: see stream
			panic(http.ErrAbortHandler)
		}
	case collected:
		clear(h) // the handler's header began with these
		c.announce(h, status, retention)
		c.send(&a)
	}
}

// send sends a whole answer.
func (c *call) send(a *collectedAnswer) { send(c.w, c.r, a) }

// committed sends the answer that the handler has committed in a transaction of its own, with the headers of the handler that are not
// recorded.
func (c *call) committed(reply *onlyonce.Reply) {
	p, err := decodePayload(reply.Body)
	if err != nil {
		c.refuseUnseen(unreadable(err))

		return
	}

	own, h := c.recorder.answer(), c.w.Header()
	clear(h)
	set(h, own.heading.others())
	c.announce(h, reply.Status, reply.Retention)

	a := p.collected()
	c.send(&a)
}

// share sends the answer of another request's run, which left no record.
func (c *call) share(reply *onlyonce.Reply) {
	other, ok := errors.AsType[*answerError](reply.Err)
	if !ok || other.answer.kind != keptWhole {
		c.sendProblem(&Problem{
			Status: http.StatusConflict, RetryAfter: time.Second, Detail: "a request with this key has ended without an answer that can be " +
				"given again; retry with the same key",
		}, reply.Status, reply.Retention)

		return
	}

	c.announce(c.w.Header(), reply.Status, reply.Retention)

	own := other.answer.clone() // several requests share the answer, and middlewares in front may change the headers
	a := own.collected()
	c.send(&a)
}

// replay answers the request with a recorded answer.
func (c *call) replay(reply *onlyonce.Reply) {
	p, err := decodePayload(reply.Body)
	if err != nil {
		c.refuseUnseen(unreadable(err))

		return
	}

	if p.kind == keptNothing {
		c.refuseUnseen(&onlyonce.Rejection{
			Reason: onlyonce.ReasonOutcomeNotStored,
			Message: "the request with this idempotency key has been executed and its answer was sent without being kept; " +
				"read the result in another way, it will not be executed again",
			Metadata: map[string]string{"original_code": strconv.Itoa(p.status)}, Retention: reply.Retention,
		})

		return
	}

	if c.begun() {
		return
	}

	h := c.w.Header()
	c.announce(h, reply.Status, reply.Retention)
	c.put(h, ReplayedHeader, "true")

	if !reply.ExecutedAt.IsZero() {
		c.put(h, ExecutedAtHeader, reply.ExecutedAt.UTC().Format(time.RFC3339))
	}

	a := p.collected()
	c.send(&a)
}

// begun reports whether the run of this request has sent a part of an answer that does not count. If so, it ends that answer, so that the
// client does not accept it: it panics with http.ErrAbortHandler, unless the handler has hijacked the connection. If a recovery in front
// keeps the panic from net/http, the trailer has the status.
func (c *call) begun() bool {
	if c.recorder == nil {
		return false
	}

	switch c.recorder.answer().delivery {
	case streamed:
		c.announce(c.w.Header(), onlyonce.StatusUnknown, 0)

		panic(http.ErrAbortHandler)
	case hijacked:
		return true
	case collected:
		return false
	default:
		return false
	}
}

// announce sets the headers of the contract that every answer to a keyed request has. Retention is 0 for an answer without a record.
func (c *call) announce(h http.Header, status onlyonce.Status, retention time.Duration) {
	c.put(h, StatusHeader, string(status))

	usual := c.route.policy.Retention
	if retention == 0 {
		retention = usual
	}

	if retention != usual || usual != onlyonce.DefaultRetention {
		c.put(h, RetentionHeader, strconv.FormatInt(int64(retention/time.Second), 10))
	}

	if c.server.preset.result {
		result := "accepted"
		if status == onlyonce.StatusRejected || status == onlyonce.StatusUnknown && c.recorder == nil {
			result = "rejected"
		}

		c.put(h, repeatabilityResult, result)
	}
}

// put sets a header of the contract. The values of a call share their memory.
func (c *call) put(h http.Header, name, value string) {
	c.values = append(c.values, value)
	last := len(c.values) - 1
	h[name] = c.values[last : last+1 : last+1]
}

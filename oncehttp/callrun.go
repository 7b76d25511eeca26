package oncehttp

import (
	"context"
	"net/http"
	"strconv"

	"github.com/onlyonce-go/onlyonce"
)

// handlerRun is one run of the handler: all that the handler, and goroutines that it leaves behind, can reach. A later run has its own.
type handlerRun struct {
	recorder recorder
	marks    marks
	ctx      markedContext
	body     readBody
}

// run calls the handler and returns the outcome for the engine.
func (c *call) run(ctx context.Context) onlyonce.Outcome {
	own := new(handlerRun)
	own.ctx = markedContext{ctx, &own.marks}

	var r *http.Request
	if c.route.again || c.call.ReplayCheck != nil || c.call.Recover != nil {
		r = c.received(&own.ctx) //nolint:contextcheck // the handler may change its request; the context is the run's
	} else {
		r = own.body.in(c.r.WithContext(&own.ctx), c.body) //nolint:contextcheck // it is the run's
	}

	rec := &own.recorder
	rec.begin(c)
	c.recorder = rec

	returned := false

	defer func() {
		c.r.Pattern = r.Pattern // for middlewares in front

		removeFiles(r)

		if !returned {
			// The handler panics. The headers are for the answer of an outer recovery, and the trailers for an answer that has begun.
			rec.close(ctx)

			if a := rec.answer(); a.delivery != hijacked {
				c.announce(c.w.Header(), onlyonce.StatusUnknown, 0)
			}
		}
	}()

	c.next.ServeHTTP(rec, r)

	returned = true

	rec.close(ctx)

	a := rec.answer()

	return c.outcome(&a, &own.marks)
}

// outcome returns the outcome that an answer has for the key.
func (c *call) outcome(a *collectedAnswer, m *marks) onlyonce.Outcome {
	class, marked, keep := m.get()
	if !marked {
		class = c.route.policy.classOf(a.status)
	}

	switch {
	case a.delivery == hijacked && !marked:
		class = onlyonce.ClassDefinite // the handler has taken the connection, and its answer is not known
	case a.short, (a.gaveUp || c.downstream(a)) && !marked:
		class = onlyonce.ClassAmbiguous
	}

	p := c.keep(a)
	out := onlyonce.Outcome{Class: class, Marked: marked, KeepWrites: keep, Code: strconv.Itoa(a.status)}

	if a.status >= http.StatusBadRequest || class != onlyonce.ClassDefinite {
		out.Err = &answerError{p.clone()}
	}

	if class == onlyonce.ClassDefinite {
		out.Room = onlyonce.BodyRoom(out.Code)
		out.Body = p.encode(out.Room)
	}

	return out
}

// downstream reports whether an answer is the rejection of another server of the kit, which the handler passes on. Such an answer is
// about another call, whose effect may have happened.
func (c *call) downstream(a *collectedAnswer) bool {
	if a.status < http.StatusBadRequest || c.recorder == nil {
		return false
	}

	switch onlyonce.Status(c.recorder.header.Get(StatusHeader)) {
	case onlyonce.StatusRejected, onlyonce.StatusUnknown, onlyonce.StatusReleased:
		return true
	case onlyonce.StatusExecuted, onlyonce.StatusReplayed, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected:
		return false
	default:
		return false
	}
}

// keep returns the part of an answer that is kept.
func (c *call) keep(a *collectedAnswer) payload {
	if a.delivery != collected {
		return payload{kind: keptNothing, status: a.status}
	}

	p := payload{kind: keptWhole, status: a.status, header: a.heading.kept(), body: a.body}

	for _, f := range a.trailer {
		if c.server.recorded[f.name] {
			p.trailer = append(p.trailer, f)
		}
	}

	if length := a.heading.get(contentLength); len(length) > 0 && (c.r.Method == http.MethodHead || a.status == http.StatusNotModified) {
		p.header = append(p.header, field{contentLength, length}) // of the body that the answer does not have
	}

	return p
}

// classify returns the class of an answer that the handler is about to give. Response is an Answer, or nil for the answer that the handler
// has written so far.
func (c *call) classify(response any, err error) onlyonce.Outcome {
	a := c.recorder.answerSoFar()

	switch own := response.(type) {
	case Answer:
		a = own.collected(c.server.recorded)
	case *Answer:
		if own != nil {
			a = own.collected(c.server.recorded)
		}
	}

	m := new(marks)
	if err != nil {
		m.class, m.marked = onlyonce.MarkedClass(err)
		m.keep = onlyonce.KeepsWrites(err)

		if m.class != onlyonce.ClassDefinite {
			return onlyonce.Outcome{Class: m.class, Marked: m.marked, Code: strconv.Itoa(http.StatusInternalServerError), Err: err}
		}
	}

	out := c.outcome(&a, m)
	if err != nil {
		out.Err = err
	}

	return out
}

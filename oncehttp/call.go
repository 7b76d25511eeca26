package oncehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// call is one keyed request on a server.
type call struct {
	server *Server
	route  *route
	next   http.Handler
	w      http.ResponseWriter
	r      *http.Request // as it was received, without its body; a run never gets it

	call      onlyonce.Call
	body      []byte
	recorder  *recorder // of the latest run: goroutines that an earlier run has left behind cannot reach it
	forbidden error     // that of the replay check
}

func (c *call) serve(keys []string) {
	if err := c.prepare(keys); err != nil {
		c.refuseUnseen(err)

		return
	}

	reply, err := c.server.engine.Execute(c.r.Context(), &c.call, c.run)
	if err != nil {
		c.refuse(err)

		return
	}

	switch {
	case reply.Status == onlyonce.StatusReplayed:
		c.replay(&reply)
	case reply.Recorded:
		c.committed(&reply)
	case reply.Refused:
		c.sendProblem(&Problem{
			Status: http.StatusInternalServerError, Detail: "the transaction of this request was refused and rolled back; retry with the same key",
		}, reply.Status, reply.Retention)
	case reply.Shared:
		c.share(&reply)
	default:
		c.deliver(reply.Status, reply.Retention)
	}
}

// prepare takes from the request what identifies it, in the contract's order: scope, key, request.
func (c *call) prepare(keys []string) error {
	s := c.server

	scope, err := s.scope.of(c.r)
	if err != nil || scope == "" {
		return &onlyonce.Rejection{
			Reason: onlyonce.ReasonScopeMissing, Message: "the caller of this request cannot be identified; authenticate the request", Cause: err,
		}
	}

	c.call.Scope = scope

	if err := c.takeKey(keys); err != nil {
		return err
	}

	if s.preset.firstSent {
		if late := checkFirstSent(c.r.Header, c.route.policy.KeyLife, time.Now()); late != nil {
			return late
		}
	}

	if c.body, err = readBody(c.r, c.route.policy.MaxRequest); err != nil {
		return err
	}

	c.call.Fingerprint = fingerprintOf(c.r, &c.route.policy, c.body)
	c.call.Prepared = c.route.prepared

	if most := c.route.policy.KeepRequest; most > 0 && len(c.body) <= most {
		c.call.Request = encodeRequest(c.r, &c.route.policy, c.body)
	}

	if c.route.exactly {
		c.call.Outcome = c.classify
	}

	if ask := c.route.policy.Recover; ask != nil {
		c.call.Recover = func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
			return ask(ctx, c.received(ctx), rec)
		}
	}

	if check := s.replayCheck; check != nil {
		c.call.ReplayCheck = func(ctx context.Context) error {
			c.forbidden = check(c.received(ctx))

			return c.forbidden
		}
	}

	return nil
}

// takeKey takes the key from the header.
func (c *call) takeKey(values []string) error {
	rules := onlyonce.KeyRules{}
	if own := c.route.policy.KeyRules; own != nil {
		rules = *own
	}

	switch len(values) {
	case 0:
		return &onlyonce.Rejection{
			Reason: onlyonce.ReasonKeyMissing,
			Message: "this request has no idempotency key; send the header " + c.server.keyHeader() +
				" with one key per operation, the same on every retry",
		}
	case 1:
	default:
		return invalidKey(fmt.Errorf("invalid idempotency key: the header %s has %d values; send one", c.server.keyHeader(), len(values)))
	}

	parse := c.server.preset.parse
	if parse == nil {
		parse = parseKey
	}

	key, err := parse(values[0])
	if err != nil {
		return invalidKey(err)
	}

	c.call.Key = key

	if err := rules.Check(key); err != nil {
		return invalidKey(err)
	}

	c.call.TimeOrdered = rules.TimeOrdered

	return nil
}

func invalidKey(err error) *onlyonce.Rejection {
	return &onlyonce.Rejection{Reason: onlyonce.ReasonKeyInvalid, Message: err.Error()}
}

// received returns a copy of the request as it was received.
func (c *call) received(ctx context.Context) *http.Request { return withBody(c.r.Clone(ctx), c.body) }

// run calls the handler, and makes of its answer what the engine records.
func (c *call) run(ctx context.Context) onlyonce.Outcome {
	m := new(marks)
	ctx = context.WithValue(ctx, marksKey{}, m)

	var r *http.Request
	if c.route.again || c.call.ReplayCheck != nil || c.call.Recover != nil {
		r = c.received(ctx) // the handler may change its request
	} else {
		r = withBody(c.r.WithContext(ctx), c.body)
	}

	rec := newRecorder(c.w, c.r, c.route, c.trailed())
	c.recorder = rec

	returned := false

	defer func() {
		c.r.Pattern = r.Pattern // for those in front

		if form := r.MultipartForm; form != nil { // net/http removes the files of its own request only
			_ = form.RemoveAll()
		}

		if !returned {
			// The handler panics. The header is for the answer of an outer recovery.
			rec.close()

			if rec.answer().delivery == collected {
				c.w.Header().Set(StatusHeader, string(onlyonce.StatusUnknown))
			}
		}
	}()

	c.next.ServeHTTP(rec, r)

	returned = true

	rec.close()

	return c.outcome(rec.answer(), m)
}

// trailed are the trailers of the contract in an answer that is sent before the run has ended.
func (c *call) trailed() []string {
	names := []string{StatusHeader}
	if c.route.policy.Retention != onlyonce.DefaultRetention {
		names = append(names, RetentionHeader)
	}

	if c.server.preset.result {
		names = append(names, repeatabilityResult)
	}

	return names
}

// outcome says what an answer means for the key.
func (c *call) outcome(a *collectedAnswer, m *marks) onlyonce.Outcome {
	class, marked, keep := m.get()
	if !marked {
		class = c.route.policy.classOf(a.status)
	}

	switch {
	case a.delivery == hijacked && !marked:
		class = onlyonce.ClassDefinite // the handler has taken the connection, and nobody knows what it has done with it
	case a.short, c.downstream(a) && !marked:
		class = onlyonce.ClassAmbiguous
	}

	p := c.keep(a)
	out := onlyonce.Outcome{Class: class, Marked: marked, KeepWrites: keep, Code: strconv.Itoa(a.status)}

	if a.status >= http.StatusBadRequest || class != onlyonce.ClassDefinite {
		out.Err = &answerError{p}
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

// keep returns what is kept of an answer.
func (c *call) keep(a *collectedAnswer) *payload {
	if a.delivery != collected {
		return &payload{kind: keptNothing, status: a.status}
	}

	p := &payload{
		kind: keptWhole, status: a.status, header: c.server.recorded.pick(a.header), trailer: c.server.recorded.pick(a.trailer), body: a.body,
	}

	if length := a.header[contentLength]; len(length) > 0 && (c.r.Method == http.MethodHead || a.status == http.StatusNotModified) {
		p.header = append(p.header, field{contentLength, length}) // of the body that the answer does not have
	}

	return p
}

// classify says what an answer means that the handler is about to give. Response is an Answer, or nil for what the handler has written so
// far.
func (c *call) classify(response any, err error) onlyonce.Outcome {
	a := c.recorder.answerSoFar()

	switch own := response.(type) {
	case Answer:
		a = own.collected()
	case *Answer:
		if own != nil {
			a = own.collected()
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

	out := c.outcome(a, m)
	if err != nil {
		out.Err = err
	}

	return out
}

// deliver sends the answer of the handler itself.
func (c *call) deliver(status onlyonce.Status, retention time.Duration) {
	a := c.recorder.answer()

	switch a.delivery {
	case hijacked:
	case streamed:
		h := c.w.Header()
		for name, values := range a.trailer {
			if _, declared := h[name]; declared || contains(h[trailerName], name) {
				h[name] = values
			} else {
				h[http.TrailerPrefix+name] = values
			}
		}

		c.announce(h, status, retention)
	case collected:
		own := make(http.Header)
		c.announce(own, status, retention)
		send(c.w, c.r.Method == http.MethodHead, a, own)
	}
}

// committed sends the answer that the handler has committed in a transaction of its own, with the headers of the handler that are not
// recorded.
func (c *call) committed(reply *onlyonce.Reply) {
	p, err := decodePayload(reply.Body)
	if err != nil {
		c.refuseUnseen(unreadable(err))

		return
	}

	others := c.recorder.answer().header.Clone()
	for name := range c.server.recorded {
		delete(others, name)
	}

	own := make(http.Header)
	c.announce(own, reply.Status, reply.Retention)
	send(c.w, c.r.Method == http.MethodHead, p.asReplay(others), own)
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

	own := make(http.Header)
	c.announce(own, reply.Status, reply.Retention)
	send(c.w, c.r.Method == http.MethodHead, other.answer.asReplay(c.w.Header()), own)
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

	own := make(http.Header)
	c.announce(own, reply.Status, reply.Retention)
	own.Set(ReplayedHeader, "true")

	if !reply.ExecutedAt.IsZero() {
		own.Set(ExecutedAtHeader, reply.ExecutedAt.UTC().Format(time.RFC3339))
	}

	send(c.w, c.r.Method == http.MethodHead, p.asReplay(c.w.Header()), own)
}

// begun reports whether the run of this very request has sent a part of an answer that does not count, and ends it: the client must not
// take that for an answer. It panics with http.ErrAbortHandler if the connection is still the server's.
func (c *call) begun() bool {
	if c.recorder == nil {
		return false
	}

	switch c.recorder.answer().delivery {
	case streamed:
		panic(http.ErrAbortHandler)
	case hijacked:
		return true
	case collected:
		return false
	default:
		return false
	}
}

// unreadable is the rejection of a request whose record cannot be read.
func unreadable(err error) *onlyonce.Rejection {
	if errors.Is(err, store.ErrNewer) {
		const delay = 2 * time.Second

		return &onlyonce.Rejection{
			Reason: onlyonce.ReasonRecordNewer, RetryAfter: delay, Cause: err,
			Message: "the record of this idempotency key was written by a newer build; retry with the same key, another replica may know it",
		}
	}

	return &onlyonce.Rejection{
		Reason: onlyonce.ReasonRecordUnreadable, Cause: err,
		Message: "the recorded outcome of this idempotency key is damaged, so nothing was executed; an operator has to look at it",
	}
}

// refuseUnseen refuses a request that the engine has not refused, and reports it to the engine's observer.
func (c *call) refuseUnseen(err error) {
	c.server.engine.Refused(c.r.Context(), onlyonce.Identity{Scope: c.call.Scope, Method: c.call.Method, Key: c.call.Key}, err)
	c.refuse(err)
}

// refuse answers a request that has no outcome of its own.
func (c *call) refuse(err error) {
	rejection, ok := err.(*onlyonce.Rejection) //nolint:errorlint // what is wrapped is not this request's rejection
	if !ok {
		c.sendProblem(c.problemFor(err), onlyonce.StatusRejected, 0)

		return
	}

	status := onlyonce.StatusRejected
	if rejection.Reason == onlyonce.ReasonOutcomeUnknown {
		status = onlyonce.StatusUnknown
	}

	p := problemOf(rejection)
	if errors.Is(rejection.Cause, errTooLarge) {
		p.Status = http.StatusRequestEntityTooLarge
	}

	if change := c.server.preset.status; change != nil {
		p.Status = change(p.Reason, p.Status)
	}

	c.sendProblem(p, status, rejection.Retention)
}

// problemFor is the answer for an error that is no rejection.
func (c *call) problemFor(err error) *Problem {
	own, isOwn := err.(*Problem) //nolint:errorlint // one of this package

	switch {
	case isOwn:
		return own
	case c.r.Context().Err() != nil: // the client has gone, or something in front has set a deadline
		return &Problem{Status: http.StatusServiceUnavailable, Detail: "the time of this request is over; retry with the same key"}
	case c.forbidden != nil:
		return problemIn(c.forbidden)
	default:
		return &Problem{Status: http.StatusInternalServerError, Detail: "the server is not set up for this request, so nothing was executed"}
	}
}

// sendProblem answers the request with a problem.
func (c *call) sendProblem(p *Problem, status onlyonce.Status, retention time.Duration) {
	if c.begun() {
		return
	}

	h := c.w.Header()
	c.announce(h, status, retention)

	if p.RetryAfter > 0 {
		h.Set(retryAfter, seconds(p.RetryAfter))
	}

	own := *p
	own.Status, own.Title = p.status(), p.title()
	c.server.problems(c.w, c.r, &own)
}

// announce sets the headers of the contract that every answer to a keyed request has. Retention is 0 for an answer without a record.
func (c *call) announce(h http.Header, status onlyonce.Status, retention time.Duration) {
	h.Set(StatusHeader, string(status))

	usual := c.route.policy.Retention
	if retention == 0 {
		retention = usual
	}

	if retention != usual || usual != onlyonce.DefaultRetention {
		h.Set(RetentionHeader, strconv.FormatInt(int64(retention/time.Second), 10))
	}

	if c.server.preset.result {
		result := "accepted"
		if status == onlyonce.StatusRejected || status == onlyonce.StatusUnknown && c.recorder == nil {
			result = "rejected"
		}

		h.Set(repeatabilityResult, result)
	}
}

package onlyonce

import (
	"context"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// permit asks whether this call may see the outcome of another, once.
func (x *execution) permit() error {
	if x.permitted || x.call.ReplayCheck == nil {
		return nil
	}

	if err := x.call.ReplayCheck(x.caller); err != nil {
		return &forbiddenError{err: err}
	}

	x.permitted = true

	return nil
}

// answerFrom answers the call from a record of its key that somebody else has brought to an end.
func (x *execution) answerFrom(rec *store.Record) (Reply, error) {
	if x.claim.Fingerprint.Differs(rec.Fingerprint) {
		return Reply{}, rejectReused()
	}

	x.noteScheme(rec)

	if err := x.permit(); err != nil {
		return Reply{}, err
	}

	if rec.State != store.Completed {
		return Reply{}, x.outcomeUnknown(rec)
	}

	out, err := decodeOutcome(&x.key, rec.Outcome)
	if err != nil {
		return Reply{}, rejectStoreError(err)
	}

	switch out.kind {
	case kindAnswer:
		return Reply{Status: StatusReplayed, Body: out.body, Code: out.code, ExecutedAt: rec.EndedAt}, nil
	case kindNotStored:
		return Reply{}, rejectNotStored(out.code)
	case kindNote:
		return Reply{}, rejectStoreError(fmt.Errorf("onlyonce: a completed record holds a note: %w", store.ErrUnreadable))
	default:
		return Reply{}, rejectStoreError(store.ErrUnreadable)
	}
}

// outcomeUnknown describes a record whose outcome is unknown: held, running under a lease that has ended, or released in doubt and too
// late to repeat.
func (x *execution) outcomeUnknown(rec *store.Record) error {
	switch rec.State {
	case store.Running:
		return rejectUnknown("", rec.LeaseUntil)
	case store.Released:
		return rejectUnknown("", rec.EndedAt)
	case store.Absent, store.Unknown, store.Completed:
	}

	out, err := decodeOutcome(&x.key, rec.Outcome)
	if err != nil {
		return rejectStoreError(err)
	}

	return rejectUnknown(out.code, rec.EndedAt)
}

func (x *execution) noteScheme(rec *store.Record) {
	if rec.Fingerprint.Scheme != x.claim.Fingerprint.Scheme {
		x.observe(EventSchemeDiffers, nil)
	}
}

// observe reports an event of this call.
func (x *execution) observe(kind EventKind, err error) {
	x.engine.observe(x.caller, Event{
		Kind: kind, Method: x.call.Method, Key: x.claim.ReadableKey, Fence: x.fence.Load(), Err: err,
	})
}

// observeEnd reports the end of the call.
func (x *execution) observeEnd(reply *Reply, err error) {
	if x.engine.observer == nil {
		return
	}

	event := Event{
		Kind: EventCall, Method: x.call.Method, Key: x.claim.ReadableKey, Fence: x.fence.Load(),
		Status: reply.Status, Total: time.Since(x.began), Run: x.ran, Err: reply.Err,
	}

	if event.Err == nil {
		event.Err = x.failure
	}

	if err != nil {
		event.refuse(err)
	}

	x.engine.observe(x.caller, event)
}

// refuse makes the event that of a call that has no outcome, because of err.
func (e *Event) refuse(err error) {
	e.Status = StatusRejected
	e.Err = err

	if rejection, ok := err.(*Rejection); ok { //nolint:errorlint // what is wrapped is not this call's rejection
		e.Reason = rejection.Reason

		if e.Reason == ReasonOutcomeUnknown {
			e.Status = StatusUnknown
		}
	}
}

// Refused lets the observer see a call that its transport has refused by itself, before [Engine.Execute] or instead of the
// replay that Execute returned, as the EventCall of a call that was rejected: Reason is set where err is a *Rejection. Of the
// identity it tells the method, and a key that is one, unless keys are hidden; what is not known may be empty.
func (e *Engine) Refused(ctx context.Context, id Identity, err error) {
	event := Event{Kind: EventCall, Method: id.Method}
	if !e.hideKeys && (KeyRules{}).Check(id.Key) == nil {
		event.Key = id.Key
	}

	event.refuse(err)
	e.observe(ctx, event)
}

// forbiddenError is the error of a ReplayCheck. Whatever that says of some other call, of this one it says nothing: an
// earlier one may have run.
type forbiddenError struct{ err error }

func (e *forbiddenError) Error() string    { return e.err.Error() }
func (e *forbiddenError) Unwrap() error    { return e.err }
func (e *forbiddenError) Verdict() Verdict { return VerdictUnknown }

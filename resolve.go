package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Identity names a call: its fields are as in Call. For gRPC, Method is the full method name, and Scope what the scope of the
// server interceptor returned; see interceptor.Scope.
type Identity struct{ Scope, Method, Key string }

// Record is what is known about a call.
type Record struct {
	// Record is the record as the store keeps it.
	store.Record

	// LookedUpAt is when the record was read, on the store's clock. It is for Resolution.AsOf.
	LookedUpAt time.Time
	// Unsettled reports that there is something to resolve: the record is held, or its owner's lease has ended.
	Unsettled bool
	// Code names the recorded outcome, or the ambiguous one that was held. It is empty where there is none.
	Code string
	// Body is the recorded answer, in the transport's form. It is nil where NotStored is set.
	Body []byte
	// NotStored reports that the answer was too large to keep.
	NotStored bool
}

// Resolution says what happened in a run whose outcome is unknown.
type Resolution struct {
	// Fence is the fence of the record that the decision is based on, from Lookup. Another fence means that the record
	// has changed since, and the resolution is refused.
	Fence uint64
	// Executed is true where the effect happened. False means that it did not happen and cannot happen any more: not
	// finding it is not enough while somebody may still be working on it.
	Executed bool
	// AsOf is Record.LookedUpAt of the Lookup that came before the look for the effect. It is needed where Executed is false:
	// an effect that was not there while the owner may have been alive may have come since, however late this is said.
	AsOf time.Time
	// Code and Body are the answer that duplicates get where Executed is true, in the transport's form; package
	// interceptor makes them for gRPC. Body has at most MaxOutcome bytes, that of the engine's policy.
	Code string
	Body []byte
	// Retention is how long the settled record is kept, from now: at least MaxRun, that of the engine's policy, at most
	// 100 years. Zero means the engine's retention, not the method's.
	Retention time.Duration
}

// The errors of Lookup and Resolve.
var (
	// ErrNotSupported means that the store cannot look up and resolve records.
	ErrNotSupported = errors.New("onlyonce: the store has no store.Inspector, so records cannot be read or resolved")
	// ErrNotUnknown means that there is nothing to resolve: the record is absent, settled, or running under a lease that
	// is alive.
	ErrNotUnknown = errors.New("onlyonce: the outcome of this call is not unknown")
	// ErrFenceChanged means that the record has changed since it was looked up: look again and decide again.
	ErrFenceChanged = errors.New("onlyonce: the record has changed since it was looked up")
	// ErrOwnerMayBeAlive means that a run may still be working, so nobody can say yet that nothing happened.
	ErrOwnerMayBeAlive = errors.New("onlyonce: the run may still be alive, so it cannot be resolved as not executed yet")
)

// Lookup returns the record of a call; its State is store.Absent where there is none. The error is ErrNotSupported or the
// store's. Where the record can be read and its outcome cannot, the record comes with an error that matches
// store.ErrUnreadable or store.ErrNewer.
func (e *Engine) Lookup(ctx context.Context, id Identity) (Record, error) {
	if e.inspector == nil {
		return Record{}, ErrNotSupported
	}

	key := storageKey(id.Scope, id.Method, id.Key)

	bounded, done := e.storeContext(ctx)
	defer done()

	res, err := e.inspector.Lookup(bounded, key)
	if err != nil {
		return Record{}, fmt.Errorf("onlyonce: looking up a record: %w", err)
	}

	rec := Record{Record: res.Record, LookedUpAt: res.Now, Unsettled: outcomeUnknown(&res)}

	if rec.State == store.Completed || rec.State == store.Unknown {
		out, err := decodeOutcome(&key, rec.Outcome)
		if err != nil {
			return rec, err
		}

		rec.Code, rec.Body, rec.NotStored = out.code, out.body, out.kind == kindNotStored
	}

	return rec, nil
}

// Resolve settles a call whose outcome is unknown. It is for people, and for programs that have asked the system in which
// the effect would have happened. Repeating a resolution is harmless. The owner of the run, should it come back, answers
// its caller with what was resolved.
//
// The error matches ErrNotUnknown, ErrFenceChanged, ErrOwnerMayBeAlive or ErrNotSupported, says what is wrong with the
// resolution, or is the store's.
func (e *Engine) Resolve(ctx context.Context, id Identity, r Resolution) error {
	if e.inspector == nil {
		return ErrNotSupported
	}

	if err := e.checkResolution(&r); err != nil {
		return err
	}

	key := storageKey(id.Scope, id.Method, id.Key)
	op := store.Resolution{Key: key, Fence: r.Fence, State: store.Released, AsOf: r.AsOf, Retention: set(r.Retention, e.policy.Retention)}

	if r.Executed {
		answer := storedOutcome{kind: kindAnswer, code: r.Code, body: r.Body}
		op.State, op.Outcome = store.Completed, answer.encode(&key)
	}

	bounded, done := e.storeContext(ctx)
	defer done()

	res, err := e.inspector.Resolve(bounded, op)
	if err != nil {
		return fmt.Errorf("onlyonce: resolving a record: %w", err)
	}

	if res.Applied {
		event := Event{Kind: EventResolved, Method: id.Method, Fence: r.Fence}
		if !e.hideKeys {
			event.Key = id.Key
		}

		e.observe(ctx, event)

		return nil
	}

	return refusedResolution(&op, &res)
}

// checkResolution reports what is wrong with a resolution, whatever the record is. A retention that is over at once would
// leave no record, and the next duplicate would run again.
func (e *Engine) checkResolution(r *Resolution) error {
	switch p := &e.policy; {
	case !r.Executed && r.AsOf.IsZero():
		return fmt.Errorf("%w: set AsOf to Record.LookedUpAt of the Lookup that the decision is based on", ErrOwnerMayBeAlive)
	case r.Retention != 0 && r.Retention < p.MaxRun:
		return fmt.Errorf("onlyonce: Retention is %v: give at least the engine's MaxRun, %v, or zero for its Retention, %v",
			r.Retention, p.MaxRun, p.Retention)
	case r.Retention > maxRetention:
		return fmt.Errorf("onlyonce: Retention is %v: give at most 100 years", r.Retention)
	case r.Executed && len(r.Body) > p.MaxOutcome:
		return fmt.Errorf("onlyonce: the answer has %d bytes and the engine's MaxOutcome is %d: give a shorter one", len(r.Body), p.MaxOutcome)
	default:
		return nil
	}
}

func refusedResolution(op *store.Resolution, res *store.Result) error {
	rec := &res.Record

	switch {
	case !outcomeUnknown(res):
		return fmt.Errorf("%w: its record is %v", ErrNotUnknown, rec.State)
	case rec.Fence != op.Fence:
		return fmt.Errorf("%w: the fence was %d and is %d", ErrFenceChanged, op.Fence, rec.Fence)
	default:
		return fmt.Errorf("%w: look again after %s", ErrOwnerMayBeAlive, rec.OwnerAliveUntil.UTC().Format(time.RFC3339))
	}
}

func outcomeUnknown(res *store.Result) bool {
	rec := &res.Record

	return rec.State == store.Unknown || rec.State == store.Running && !rec.LeaseAlive(res.Now)
}

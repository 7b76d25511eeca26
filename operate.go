package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/housekeeping"
	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

// Identity names a call for an operator. Its fields are those of [Call]. For gRPC, Method is the full method name, such as
// /bank.v1.Bank/Pay, and Scope is the result of the scope function of the server: see interceptor.Scope.
type Identity struct{ Scope, Method, Key string }

// Record is the record of a call, decoded. [Engine.Lookup] and [Engine.ListUnknown] return it. Pass it on unchanged to [Engine.Resolve] and
// [Engine.Forget], so that they refuse a record that has changed since.
type Record struct {
	// ID is the storage key, by which logs and lists name the record.
	ID store.Key
	// Record is the record as the store keeps it.
	store.Record

	// LookedUpAt is when the record was read, on the store's clock.
	LookedUpAt time.Time
	// Unknown reports that the outcome is unknown, so that Resolve can settle the record: it is held, or its owner's lease has ended.
	Unknown bool
	// Code names the recorded outcome, or the ambiguous one that was held. It is empty if there is none.
	Code string
	// Body is the recorded answer, in the transport's form: for [Engine.Do], the body of the Result or the text of the error. It is nil if
	// NotStored is set.
	Body []byte
	// NotStored reports that the answer was too large to keep.
	NotStored bool
	// Request is the request in the transport's form, if the policy keeps it and the outcome is not recorded yet: see Policy.KeepRequest.
	Request []byte
	// Trace is the traceparent of the run, if the engine that ran it has the option WithTrace: see https://www.w3.org/TR/trace-context/.
	Trace string
	// SettledBy names who settled the record in place of its owner, and Reason why: see Finding.By. SettledBy is "recovery function" if a
	// recovery function named nobody. Both are empty if the owner settled the record, or if a resolution named nobody.
	SettledBy, Reason string
}

// The errors of operators' functions.
var (
	// ErrNotSupported means that the store cannot do the operation. The text names the interface that the store lacks.
	ErrNotSupported = errors.New("onlyonce: the store does not support this operation")
	// ErrNotUnknown means that there is nothing to resolve: the record is absent, settled, or running under a lease that is alive.
	ErrNotUnknown = errors.New("onlyonce: there is nothing to resolve, because the outcome of this call is not unknown")
	// ErrRecordChanged means that the record has changed since it was looked up. Look it up again and decide again.
	ErrRecordChanged = errors.New("onlyonce: the record has changed since it was looked up; look it up again")
	// ErrOwnerMayBeAlive means that a run may still be working: DidNotHappen would come too early, and the record cannot be removed yet. Look
	// the record up again after its OwnerAliveUntil.
	ErrOwnerMayBeAlive = errors.New("onlyonce: the owner of the record may still be alive")
)

// Lookup reads the record of a call. Its State is store.Absent if there is none. The error matches ErrNotSupported, or is the store's. If
// the record or its outcome cannot be read, the error matches store.ErrUnreadable or store.ErrNewer, and the Record has the fields that
// are known.
func (e *Engine) Lookup(ctx context.Context, id Identity) (Record, error) {
	return e.LookupID(ctx, storageKey(id.Scope, id.Method, id.Key))
}

// LookupID is Lookup by the storage key. store.ParseKey reads a storage key as logs and lists print it.
func (e *Engine) LookupID(ctx context.Context, id store.Key) (Record, error) {
	if e.can.Inspector == nil {
		return Record{ID: id}, fmt.Errorf("%w: it has no store.Inspector, so records cannot be read", ErrNotSupported)
	}

	bounded, done := e.storeContext(ctx)
	defer done()

	res, err := e.can.Inspector.Lookup(bounded, id)
	if err != nil {
		return Record{ID: id}, fmt.Errorf("onlyonce: looking up record %v: %w", id, err)
	}

	return recordOf(id, &res)
}

// ListUnknown yields every record in the store whose outcome is unknown, for a program or a person who can settle it. It leaves out the
// records of shadow mode: see ListShadow.
//   - A record that changes meanwhile may be missing, or may be as it was before.
//   - An error that matches store.ErrUnreadable or store.ErrNewer is about one record, whose ID the Record has. The sequence goes on.
//   - After any other error, such as ErrNotSupported, the sequence ends. The records before it are right, and others may be missing.
func (e *Engine) ListUnknown(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if e.can.Lister == nil {
			yield(Record{}, fmt.Errorf("%w: it has no store.Lister, so records cannot be listed", ErrNotSupported))

			return
		}

		e.list(ctx, e.can.Lister.ListUnknown(ctx), yield)
	}
}

// ListRunning yields every record that is running under a lease that is alive. Its errors are those of ListUnknown.
func (e *Engine) ListRunning(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if e.can.Lister == nil {
			yield(Record{}, fmt.Errorf("%w: it has no store.Lister, so records cannot be listed", ErrNotSupported))

			return
		}

		e.list(ctx, e.can.Lister.ListRunning(ctx), yield)
	}
}

// list yields the records that a Lister has found, without the kit's own.
func (e *Engine) list(ctx context.Context, listed iter.Seq2[store.Listed, error], yield func(Record, error) bool) {
	for found, err := range listed {
		if err == nil && hidden(ctx, &found) {
			continue
		}

		rec := Record{ID: found.Key}
		if err == nil {
			rec, err = recordOf(found.Key, &found.Result)
		}

		if !yield(rec, err) {
			return
		}
	}
}

// hidden reports whether a record is one of the kit's own.
func hidden(ctx context.Context, found *store.Listed) bool {
	rec := &found.Result.Record

	return rec.Method == recoverMethod && !housekeeping.In(ctx) || ofShadow(&found.Key, rec)
}

// recordOf decodes a record. If its outcome cannot be read, the record comes with an error.
func recordOf(id store.Key, res *store.Result) (Record, error) {
	rec := Record{ID: id, Record: res.Record, LookedUpAt: res.Now, Unknown: res.Unknown()}

	// A record in another state may keep nothing.
	if len(rec.Outcome) == 0 && rec.State != store.Completed && rec.State != store.Unknown {
		return rec, nil
	}

	out, err := outcome.Decode(&id, rec.Outcome)
	if err != nil {
		return rec, err
	}

	rec.Code, rec.Body, rec.NotStored = out.Code, out.Body, out.Kind == outcome.KindNotStored
	rec.Request, rec.Trace, rec.SettledBy, rec.Reason = out.Request, out.Trace, out.SettledBy, out.Reason

	return rec, nil
}

// Resolve settles a record whose outcome is unknown. Read the record first with Lookup, LookupID or ListUnknown, then find out whether the
// effect has happened, then call Resolve with that record. Callers get the answer of [Happened], or run again after [DidNotHappen]. If the
// owner of the run comes back later, its caller gets the resolution.
//   - Repeating the same resolution is no error.
//   - The record is kept for the retention that it was claimed with.
//   - The body of Happened may have as many bytes as the engine's MaxOutcome.
//
// The error matches ErrNotUnknown, ErrRecordChanged, ErrOwnerMayBeAlive or ErrNotSupported, reports that the finding is StillUnknown or its
// body too large, or is the store's.
func (e *Engine) Resolve(ctx context.Context, rec Record, found Finding) error {
	switch {
	case found.kind == stillUnknown:
		return errNothingFound
	case len(found.body) > e.policy.MaxOutcome:
		return fmt.Errorf("%w: it has %d bytes and the engine's MaxOutcome is %d; give a shorter answer",
			errTooLarge, len(found.body), e.policy.MaxOutcome)
	default:
		return e.settleByHand(ctx, &rec, found, e.policy.MaxOutcome)
	}
}

// settleByHand settles a record by a finding, for an operator or a recovery function. The answer is kept without its body if that has more
// than most bytes.
func (e *Engine) settleByHand(ctx context.Context, rec *Record, found Finding, most int) error {
	if e.can.Inspector == nil {
		return fmt.Errorf("%w: it has no store.Inspector, so records cannot be resolved", ErrNotSupported)
	}

	if found.kind == didNotHappen && rec.LookedUpAt.IsZero() {
		return fmt.Errorf("%w: record %v was not looked up; look it up before you look for the effect, and give the record unchanged",
			ErrOwnerMayBeAlive, rec.ID)
	}

	op := found.resolution(rec, most)

	bounded, done := e.storeContext(ctx)
	defer done()

	res, err := e.can.Inspector.Resolve(bounded, op)
	if err != nil {
		return fmt.Errorf("onlyonce: resolving record %v: %w", rec.ID, err)
	}

	if !res.Applied {
		return notResolved(rec, &res)
	}

	event := rec.event(EventResolved)
	event.Code = found.code

	if found.by != "" {
		event.Err = settledError{found.by, found.reason}
	}

	e.observe(ctx, event)

	return nil
}

// settledError names who settled a record and why, as the error of its event.
type settledError struct{ who, reason string }

func (s settledError) Error() string {
	if s.reason == "" {
		return "settled by " + s.who
	}

	return "settled by " + s.who + ": " + s.reason
}

func notResolved(rec *Record, res *store.Result) error {
	switch now := &res.Record; {
	case !res.Unknown():
		return fmt.Errorf("%w: record %v is %v", ErrNotUnknown, rec.ID, now.State)
	case now.Token != rec.Token || now.Fence != rec.Fence:
		return fmt.Errorf("%w: the fence of record %v was %d and is %d", ErrRecordChanged, rec.ID, rec.Fence, now.Fence)
	default:
		return mayBeAlive(rec.ID, now)
	}
}

func mayBeAlive(id store.Key, rec *store.Record) error {
	return fmt.Errorf("%w: look up record %v again after %s", ErrOwnerMayBeAlive, id, rec.OwnerAliveUntil.UTC().Format(time.RFC3339))
}

// Forget removes a record that Lookup, LookupID or ListUnknown has returned. Use it to withdraw a recorded error, or to erase a person's
// data. The observer gets an EventForgotten with the reason, which must not be empty.
//   - The key is free afterwards: the next call with it runs, even if an earlier call had its effect.
//   - A record whose owner may be alive is refused with ErrOwnerMayBeAlive. So is a record that cannot be read, because its owner is not
//     known. See ForceForget.
//   - It is no error if the record is gone already.
//
// The error matches ErrRecordChanged, ErrOwnerMayBeAlive or ErrNotSupported, reports an empty reason, or is the store's.
func (e *Engine) Forget(ctx context.Context, rec Record, reason string) error {
	return e.forget(ctx, &rec, reason, false)
}

// ForceForget is Forget for a record whose owner may be alive, and for a record that cannot be read. A run of the record goes on, and the
// next call with the key may run at the same time.
func (e *Engine) ForceForget(ctx context.Context, rec Record, reason string) error {
	return e.forget(ctx, &rec, reason, true)
}

func (e *Engine) forget(ctx context.Context, rec *Record, reason string, force bool) error {
	switch {
	case e.can.Forgetter == nil:
		return fmt.Errorf("%w: it has no store.Forgetter, so records cannot be removed", ErrNotSupported)
	case reason == "":
		return fmt.Errorf("onlyonce: forgetting record %v: the reason is empty; give a reason for the observer", rec.ID)
	}

	bounded, done := e.storeContext(ctx)
	defer done()

	res, err := e.can.Forgetter.Forget(bounded, store.Forgetting{Key: rec.ID, Token: rec.Token, Fence: rec.Fence, Force: force})

	switch now := &res.Record; {
	case err != nil:
		return fmt.Errorf("onlyonce: forgetting record %v: %w", rec.ID, err)
	case res.Applied:
		event := rec.event(EventForgotten)
		event.Err = forgotten(reason)
		e.observe(ctx, event)

		return nil
	case now.Fence != rec.Fence || now.Token != rec.Token:
		return fmt.Errorf("%w: record %v is of another run", ErrRecordChanged, rec.ID)
	default:
		return mayBeAlive(rec.ID, now)
	}
}

// forgotten is the reason for removing a record, as the error of its event.
type forgotten string

func (f forgotten) Error() string        { return "forgotten: " + string(f) }
func (f forgotten) LogValue() slog.Value { return slog.StringValue(string(f)) }

// event returns an event about the record. It has the key only if the record has it.
func (r *Record) event(kind EventKind) Event {
	return Event{Kind: kind, ID: r.ID, Method: r.Method, Key: r.ReadableKey, Fence: r.Fence}
}

package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// byRecovery names who settled a record, if the recovery function named nobody.
const byRecovery = "recovery function"

// The errors of Recover.
var (
	// ErrNoRecovery means that the method of a record has no recovery function: see Engine.AddRecoveries.
	ErrNoRecovery = errors.New("onlyonce: the method of this record has no recovery function; set Recover in its policy")
	// ErrRecoveryElsewhere means that another process is recovering the record at this moment. Look the record up later.
	ErrRecoveryElsewhere = errors.New("onlyonce: another process is recovering this record")
)

// errRecoveryEnded means that a recovery function has called runtime.Goexit.
var errRecoveryEnded = errors.New("onlyonce: the recovery function ended its goroutine instead of returning a finding")

// AddRecoveries adds the recovery functions of a transport, for records whose calls are gone: see [Engine.Recover]. Find returns the
// function of a method, or nil, and must be safe for concurrent use. If several transports know a method, the first one decides. NewServer
// of package interceptor adds the functions of its policies.
func (e *Engine) AddRecoveries(find func(method string) RecoverFunc) {
	e.recoveries.mu.Lock()
	defer e.recoveries.mu.Unlock()

	e.recoveries.find = append(e.recoveries.find, find)
}

// Recover settles a record that ListUnknown, Lookup or LookupID has returned, with the finding of its method's recovery function. It
// returns the finding: after StillUnknown nothing is settled. Package reconcile calls Recover for all unknown records.
//   - If a call of this process recovers the record already, Recover waits for its result.
//   - Only one process at a time recovers a record with Recover. Meanwhile it holds a second record in the store, which the lists leave
//     out. If a full store has no room for the second record, several processes may recover at the same time.
//   - A duplicate in another process may call the recovery function at the same time.
//   - The function's context ends after Limits.RecoverTimeout. If ctx ends before, Recover returns, and the function goes on.
//   - An answer that is larger than the engine's MaxOutcome is recorded without its body.
//
// The error matches ErrNoRecovery, ErrRecoveryElsewhere or ErrDraining, is one of Resolve's errors, is the function's own, or matches the
// cause of ctx. After an error nothing is settled, as far as is known.
func (e *Engine) Recover(ctx context.Context, rec Record) (Finding, error) {
	e.calls.Add(1) // so that a drain waits for it
	defer e.leave()

	if rec.Method == recoverMethod {
		return Finding{}, e.removeExclusion(ctx, &rec)
	}

	fn := e.recoveries.function(rec.Method)

	switch {
	case e.can.Inspector == nil:
		return Finding{}, fmt.Errorf("%w: it has no store.Inspector, so records cannot be recovered", ErrNotSupported)
	case !rec.Unknown:
		return Finding{}, fmt.Errorf("%w: record %v is %v", ErrNotUnknown, rec.ID, rec.State)
	case fn == nil:
		return Finding{}, fmt.Errorf("%w: %s", ErrNoRecovery, rec.Method)
	case e.draining.Load():
		return Finding{}, ErrDraining
	}

	work := e.startRecovery(ctx, &rec, recoveryRequest{find: fn, most: e.policy.MaxOutcome})

	select {
	case <-work.done:
	case <-ctx.Done():
		return Finding{}, fmt.Errorf("onlyonce: recovering record %v: %w", rec.ID, context.Cause(ctx))
	}

	switch {
	case work.about != ownerOf(&rec.Record):
		return Finding{}, fmt.Errorf("%w: record %v is of another run", ErrRecordChanged, rec.ID)
	case work.err != nil:
		return Finding{}, fmt.Errorf("onlyonce: recovering record %v: %w", rec.ID, work.err)
	default:
		return work.found, nil
	}
}

// recoveryRequest is how a record is recovered.
type recoveryRequest struct {
	find RecoverFunc
	// most is the largest answer that is recorded, in bytes.
	most int
	// ofCall means that the recovery is for a call. It does not wait for other processes.
	ofCall bool
}

// startRecovery recovers a record in the background, unless that is under way already.
func (e *Engine) startRecovery(ctx context.Context, seen *Record, q recoveryRequest) *recovery {
	e.recoveries.mu.Lock()
	defer e.recoveries.mu.Unlock()

	if work := e.recoveries.byKey[seen.ID]; work != nil && work.serves(ownerOf(&seen.Record), q.ofCall) {
		return work
	}

	work := &recovery{about: ownerOf(&seen.Record), ofCall: q.ofCall, done: make(chan struct{})}

	if e.recoveries.byKey == nil {
		e.recoveries.byKey = make(map[store.Key]*recovery)
	}

	e.recoveries.byKey[seen.ID] = work
	e.calls.Add(1) // so that a drain waits for it

	base := context.WithoutCancel(ctx)
	bounded, cancel := context.WithTimeout(base, e.limits.RecoverTimeout)
	context.AfterFunc(bounded, func() { work.finish(Finding{}, context.Cause(bounded)) })

	rec := *seen

	go func() {
		found, err := Finding{}, errRecoveryEnded

		defer e.leave()
		defer cancel()
		defer func() { work.finish(found, err) }()
		defer e.recoveries.remove(rec.ID, work)

		found, err = e.carryOutRecovery(bounded, base, &rec, q)
		if err != nil && !q.overtaken(err) {
			event := rec.event(EventRecoverFailed)
			event.Err = err
			e.observe(base, event)
		}
	}()

	return work
}

// carryOutRecovery calls a recovery function and settles what it finds. Base is the context without the bound of the function.
func (e *Engine) carryOutRecovery(ctx, base context.Context, rec *Record, q recoveryRequest) (Finding, error) {
	if !q.ofCall {
		end, err := e.exclude(ctx, rec.ID)
		if err != nil {
			return Finding{}, err
		}
		defer end(base)

		// Another process may have settled it before this one got the right.
		if rec, err = e.stillUnknown(ctx, rec); err != nil {
			return Finding{}, err
		}
	}

	found, err := q.call(ctx, rec)
	if err != nil || found.kind == stillUnknown {
		return Finding{}, err
	}

	if found.by == "" {
		found.by = byRecovery
	}

	return found, e.settleByHand(base, rec, found, q.most)
}

// stillUnknown returns the record as it is now, if nobody has settled it and it has the same owner.
func (e *Engine) stillUnknown(ctx context.Context, rec *Record) (*Record, error) {
	now, err := e.LookupID(ctx, rec.ID)

	switch {
	case err != nil:
		return nil, err
	case !now.Unknown:
		return nil, fmt.Errorf("%w: record %v is %v", ErrNotUnknown, rec.ID, now.State)
	case ownerOf(&now.Record) != ownerOf(&rec.Record):
		return nil, fmt.Errorf("%w: record %v is of another run", ErrRecordChanged, rec.ID)
	default:
		return &now, nil
	}
}

// overtaken reports that a recovery without a call has failed because another process recovers or has settled the record.
func (q recoveryRequest) overtaken(err error) bool {
	return !q.ofCall && (errors.Is(err, ErrRecoveryElsewhere) || errors.Is(err, ErrNotUnknown) || errors.Is(err, ErrRecordChanged))
}

// call calls the recovery function and contains its panic.
func (q recoveryRequest) call(ctx context.Context, rec *Record) (found Finding, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			found, err = Finding{}, fmt.Errorf("onlyonce: the recovery function panicked: %v", problem)
		}
	}()

	return q.find(ctx, *rec)
}

// Attention gives the observer an EventAttention: nobody could settle the record since the given time, so people have to settle it. Package
// reconcile calls it.
func (e *Engine) Attention(ctx context.Context, rec Record, since time.Time) {
	event := rec.event(EventAttention)
	event.Code, event.Err = rec.Code, unsettledError(since)
	e.observe(ctx, event)
}

// unsettledError is the time since when a record could not be settled, as the error of its event.
type unsettledError time.Time

func (s unsettledError) Error() string {
	return "this record could not be settled since " + time.Time(s).UTC().Format(time.RFC3339)
}

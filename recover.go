package onlyonce

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Finding is what a recovery function has found out about a run whose outcome is unknown.
type Finding uint8

// The findings.
const (
	// StillUnknown says that nothing could be found out. Not finding an effect is this, as long as it may still come.
	// It is the zero value.
	StillUnknown Finding = iota
	// Happened says that the effect has happened: the recovery's code and body are the answer to the call.
	Happened
	// DidNotHappen says that the effect has not happened and cannot happen any more. It is taken for StillUnknown while
	// the owner of the run may be alive; see store.Record.OwnerAliveUntil. An observer is then told EventRecoverFailed with
	// ErrOwnerMayBeAlive.
	DidNotHappen
)

// String returns the name of the finding.
func (f Finding) String() string {
	switch f {
	case StillUnknown:
		return "still unknown"
	case Happened:
		return "happened"
	case DidNotHappen:
		return "did not happen"
	default:
		return fmt.Sprintf("Finding(%d)", uint8(f))
	}
}

// Recovery is the answer of a recovery function.
type Recovery struct {
	Finding Finding
	// Code and Body are the answer that callers get where Finding is Happened, in the transport's form; package
	// interceptor makes them for gRPC. A body over Policy.MaxOutcome is not kept, as that of a run.
	Code string
	Body []byte
}

// RecoverFunc finds out what became of a run whose outcome is unknown, usually by asking the system in which its effect
// would have happened. It is asked before such a record is given up or its handler run again, by one call of a key at a
// time; the others wait for its answer, even where they do not wait for a running call. Every later duplicate of a record
// that stays unknown asks again, so it should be cheap or remember its answer. Its context ends after
// Limits.RecoverTimeout and not with the caller. It must be safe for concurrent use.
//
// An error, a panic, and an answer that does not come in time count as StillUnknown, and an observer is told.
type RecoverFunc func(ctx context.Context, rec Record) (Recovery, error)

// CanResolve reports whether the store can settle records, that is whether it is a store.Inspector. Recovery functions and
// Resolve need it.
func (e *Engine) CanResolve() bool { return e.inspector != nil }

// recoveries are the recovery functions at work, one for each key at most.
type recoveries struct {
	mu    sync.Mutex
	byKey map[store.Key]*recovery
}

// recovery is one recovery function at work. Its done is closed when it has ended or its time is over.
type recovery struct {
	done chan struct{}
	once sync.Once
}

func (r *recovery) finish() { r.once.Do(func() { close(r.done) }) }

// recovering reports whether the record should be looked into before next is done.
func (x *execution) recovering(next action, rec *store.Record) bool {
	if x.call.Recover == nil || x.engine.inspector == nil || x.recovered || rec.State == store.Released {
		return false
	}

	return next == actUnknown || next == actReclaim && rec.State == store.Running
}

// lookInto lets the recovery function look into the record, and returns when it is time to claim again. Its error ends the
// call: it may not wait, or cannot. That says nothing about the others, who go on to wait for the same recovery.
func (x *execution) lookInto(next action, res *store.Result) error {
	x.recovered = true

	if err := x.permit(); err != nil {
		return err
	}

	x.engine.flights.enter(flightRecovering, &x.key, &x.flight, res.Record.Fingerprint, nil)

	work := x.startRecovery(res)

	var timeout <-chan time.Time

	if deadline, ok := x.answerBy(); ok {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()

		timeout = timer.C
	}

	select {
	case <-work.done:
		return nil
	case <-timeout:
		if next == actUnknown {
			return x.outcomeUnknown(&res.Record)
		}

		return rejectInProgress("it is being found out what became of a call with this idempotency key; retry with the same key")
	case <-x.caller.Done():
		return callerGone(x.caller, "while it waited")
	}
}

// startRecovery starts the recovery function of the key, unless it is at work already.
func (x *execution) startRecovery(res *store.Result) *recovery {
	e := x.engine
	key := x.key
	seen := *res // for the function, while the call goes on

	e.recoveries.mu.Lock()
	defer e.recoveries.mu.Unlock()

	if work := e.recoveries.byKey[key]; work != nil {
		return work
	}

	work := &recovery{done: make(chan struct{})}

	if e.recoveries.byKey == nil {
		e.recoveries.byKey = make(map[store.Key]*recovery)
	}

	e.recoveries.byKey[key] = work
	e.calls.Add(1) // so that a drain waits for it

	base := context.WithoutCancel(x.caller)
	ctx, cancel := context.WithTimeout(base, e.limits.RecoverTimeout)
	context.AfterFunc(ctx, work.finish)

	go func() {
		defer e.leave()
		defer work.finish()
		defer e.recoveries.remove(key)
		defer cancel()

		if err := x.settleRecovered(ctx, base, &seen); err != nil {
			x.observe(EventRecoverFailed, err)
		}
	}()

	return work
}

func (rs *recoveries) remove(key store.Key) {
	rs.mu.Lock()
	defer rs.mu.Unlock()

	delete(rs.byKey, key)
}

// settleRecovered asks the recovery function and settles the record accordingly, if it has not changed meanwhile.
func (x *execution) settleRecovered(ctx, base context.Context, seen *store.Result) error {
	rec := &seen.Record

	found, err := x.ask(ctx, rec, seen.Now)
	if err != nil || found.Finding == StillUnknown {
		return err
	}

	op := store.Resolution{Key: x.key, Fence: rec.Fence, State: store.Released, AsOf: seen.Now, Retention: x.policy.Retention}

	switch found.Finding {
	case Happened:
		op.State, op.Outcome = store.Completed, x.answerOf(found.Code, found.Body)
	case DidNotHappen: // as of when the record was read: what was not there then may have come since
	case StillUnknown:
	default:
		return fmt.Errorf("onlyonce: the recovery function found %v: give StillUnknown, Happened or DidNotHappen", found.Finding)
	}

	bounded, done := x.engine.storeContext(base)
	defer done()

	res, err := x.engine.inspector.Resolve(bounded, op)
	if err != nil {
		return fmt.Errorf("onlyonce: settling a recovered record: %w", err)
	}

	if !res.Applied {
		return refusedResolution(&op, &res)
	}

	x.observe(EventResolved, nil)

	return nil
}

// ask calls the recovery function and contains its panic.
func (x *execution) ask(ctx context.Context, rec *store.Record, asOf time.Time) (found Recovery, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			found, err = Recovery{}, fmt.Errorf("onlyonce: the recovery function panicked: %v", problem)
		}
	}()

	known := Record{Record: *rec, Unsettled: true, LookedUpAt: asOf}
	if out, err := decodeOutcome(&x.key, rec.Outcome); err == nil {
		known.Code = out.code
	}

	return x.call.Recover(ctx, known)
}

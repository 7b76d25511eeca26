package onlyonce

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// errPanicked stands for the answer of a handler that panicked, or ended its goroutine, and so gave none.
var errPanicked = errors.New("onlyonce: the handler panicked")

// own runs the handler: the claim has won.
func (x *execution) own(res *store.Result, sent time.Time) (Reply, error) {
	rec := &res.Record
	x.guarantee = rec.Guarantee
	x.attempt = rec.Attempts
	x.doubtful = rec.Doubtful
	x.fence.Store(rec.Fence)
	x.noteScheme(rec)
	x.base = context.WithoutCancel(x.caller)

	if x.caller.Err() != nil {
		return x.giveBack(callerGone(x.caller, "before the handler ran"))
	}

	if x.tooLate(sent) {
		return x.giveBack(rejectTooLate())
	}

	x.enter(sent, rec.Fingerprint)
	defer x.exit()

	x.startHeartbeat(sent)

	if rec.Attempts > 1 {
		x.observe(EventTakeover, nil) // under the heartbeat, for an observer that takes its time
	}

	return x.run()
}

// tooLate reports that a claim was answered so long after it was sent that the run must not begin: somebody else may have
// taken over, or have settled the record because its owner could not be alive any more.
func (x *execution) tooLate(sent time.Time) bool {
	limit := x.policy.MaxRun
	if x.guarantee.TakeoverAllowed() {
		limit = min(limit, x.policy.Lease-x.policy.Lease/marginPart)
	}

	return time.Since(sent) >= limit
}

// giveBack releases a key that was claimed for a run that does not begin, because of err.
func (x *execution) giveBack(err error) (Reply, error) {
	op := store.Release{Claim: x.claim, Retention: x.policy.Retention}

	ctx, done := x.engine.storeContext(x.base)
	defer done()

	if _, err := x.engine.store.Release(ctx, op); err != nil {
		x.observe(EventSettleFailed, err)
		x.releaseLater()
	}

	return Reply{}, err
}

// run calls the handler and settles what it returns. A handler that panics, or ends its goroutine, has ended ambiguously.
func (x *execution) run() (Reply, error) {
	returned := false

	defer func() {
		if !returned {
			reply, err := x.settle(&Outcome{Class: ClassAmbiguous, Code: "PANIC", Err: errPanicked})
			reply.Err = errPanicked
			x.observeEnd(&reply, err) // the panic goes on: Execute does not return
		}
	}()

	out := x.handler(x.handlerContext())
	returned = true

	return x.settle(&out)
}

// handlerContext is the context of the run, by which a handler that may share a transaction finds it.
func (x *execution) handlerContext() context.Context {
	switch {
	case x.tx != nil:
		return x.tx.Context(x.current)
	case x.joined():
		return x.engine.transactional.Join(x.current, joinable{x})
	default:
		return x.current
	}
}

// runUnprotected calls the handler without a record, because the policy prefers that to an unavailable service.
func (x *execution) runUnprotected() (Reply, error) {
	x.guarantee = x.policy.Guarantee
	x.base = context.WithoutCancel(x.caller)

	now := time.Now()

	x.enter(now, x.claim.Fingerprint)
	defer x.exit()

	returned := false

	defer func() {
		x.ran = time.Since(x.started)

		if !returned {
			x.observeEnd(&Reply{Status: StatusUnprotected, Err: errPanicked}, nil) // the panic goes on
		}
	}()

	x.heartbeat.mute = true
	x.startHeartbeat(now)
	x.handler(x.current)

	returned = true

	return Reply{Status: StatusUnprotected}, nil
}

// enter makes the context of the run, and lets duplicates and a drain find it. A handler that is run again takes the same steps
// again. MaxRun counts from when the claim was sent, as in the store, so that the run does not outlast what
// the record says about its owner; in a single transaction, of which nobody sees a record before it is over, from when it had begun.
func (x *execution) enter(claimed time.Time, fingerprint store.Fingerprint) {
	parent := x.base
	if x.policy.Detachment == Attached {
		parent = x.caller
	}

	x.current = &x.first
	if x.conflicts > 0 {
		x.current = new(run)
	}

	x.started = time.Now()
	x.runEnd = claimed.Add(x.policy.MaxRun)

	r := x.current
	r.x, r.end, r.attempt, r.guarantee = x, x.runEnd, x.attempt, x.guarantee
	r.Context, x.cancel = context.WithCancelCause(parent)

	x.engine.flights.enter(flightRunning, &x.key, &x.flight, fingerprint, x)

	if x.engine.stopped.Load() {
		x.cancel(ErrDraining)
	}
}

// exit ends the run's context and its heartbeat.
func (x *execution) exit() {
	x.stopHeartbeat()
	x.cancel(nil)
}

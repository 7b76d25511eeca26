package onlyonce

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/flight"
	"github.com/onlyonce-go/onlyonce/internal/lease"
	"github.com/onlyonce-go/onlyonce/store"
)

// errPanicked is the error of a handler that panicked, or ended its goroutine.
var errPanicked = errors.New("onlyonce: the handler panicked")

// shape is how a run is bound to its record.
type shape uint8

const (
	leased      shape = iota // the key is leased, and the outcome is written when the handler has ended
	joined                   // the key is leased, and the handler writes the outcome in a transaction of its own
	single                   // claim, handler's writes and outcome share one transaction; there is no lease
	unprotected              // there is no record: the store is down, and the policy fails open
)

// run is one execution of a handler under a claim that has won. It is the context of the handler, it keeps the lease, and it is settled
// once. A handler that runs again gets another run, because goroutines of the first run may still use its context.
type run struct {
	*attempt
	lazyContext

	shape     shape
	guarantee Guarantee // the stricter of the policy's and the record's; the policy's in a single transaction
	doubtful  bool      // an earlier run may have had its effect
	join      join
	number    uint32 // of this run, counted since the record was made or last released
	fence     atomic.Uint64
	started   time.Time
	steps     steps       // the handler's calls to other services
	lease     lease.Lease // its RunEnd is when the run must end
	receipt   receipt

	uncancelled uncancelledContext // the caller's context, without its end
	presence    presence
	siblings    siblings // its place among the runs of the engine

	op      store.Completion
	took    time.Duration // how long the handler took
	failure error         // the handler's error, if it left no definite outcome
	ended   ended         // for its caller
}

// ended is the end of a run for its caller.
type ended struct {
	// status and retention are those of the handler's own answer.
	status    Status
	retention time.Duration
	// instead is the reply if the answer is not the handler's own, or nil.
	instead *Reply
	err     error
	// again means to claim and run again, because the transaction of the run was rolled back for another transaction.
	again *rerun
}

// endedWith is the end of a run whose caller is answered from a record.
func endedWith(reply Reply, err error) *ended { return &ended{instead: &reply, err: err} }

// reply is the reply to the caller of the run if there is no error.
func (e *ended) reply() Reply {
	if e.instead != nil {
		return *e.instead
	}

	return Reply{Status: e.status, Retention: e.retention}
}

// start begins the context of the run, and lets duplicates and a drain find the run.
func (r *run) start(fingerprint store.Fingerprint, now time.Time) {
	r.started = now

	if r.policy.Detachment == Detached {
		r.inherit(&r.uncancelled)
	} else {
		r.inherit(r.caller)
	}

	r.engine.flights.Enter(&r.claim.Key, &r.flight, flight.Running, fingerprint)
	r.engine.runs.add(r)
	r.watchUnlessFew()

	if r.engine.stopped.Load() {
		r.cancel(ErrDraining)
	}
}

// stop ends the run's context, and the watch of its caller.
func (r *run) stop() {
	r.finish()

	if r.presence.end() {
		r.engine.detached.Give(r.claim.Scope, 1)
	}

	r.engine.runs.remove(r)
}

// carryOut calls the handler and settles what it returns. A handler that panics, or ends its goroutine, has ended ambiguously.
func (r *run) carryOut(s settler) *ended {
	returned := false

	defer func() {
		if !returned {
			end := r.settle(s, &Outcome{Class: ClassAmbiguous, Code: "PANIC", Err: errPanicked})
			reply := end.reply()
			reply.Err = errPanicked
			r.observeEnd(&reply, end.err) // the panic goes on, so Execute does not observe the end
		}
	}()

	out := r.handler(s.context())
	returned = true

	return r.settle(s, &out)
}

func (r *run) settle(s settler, out *Outcome) *ended {
	r.took = time.Since(r.started)

	if r.engine.observer != nil && (!r.engine.quiet || out.Class != ClassDefinite) {
		r.detail().code = out.Code
	}

	r.ambiguous(out)

	if out.Class != ClassDefinite {
		r.failure = out.Err
	}

	return settle(s, out)
}

// ambiguous makes an error ambiguous that the handler has not marked, while a call of the run to another service is open. The handler may
// have translated the error of that call.
func (r *run) ambiguous(out *Outcome) {
	if out.Class != ClassAmbiguous && out.Err != nil && !out.Marked && r.steps.open() {
		out.Class = ClassAmbiguous
	}
}

// tooLate reports that a claim was answered so long after it was sent that the run must not begin. Another call may have taken over, or
// somebody may have settled the record because its owner could not be alive any more.
func (r *run) tooLate(took time.Duration) bool {
	limit := r.policy.MaxRun
	if r.guarantee.TakeoverAllowed() {
		limit = min(limit, lease.Trusted(r.policy.Lease))
	}

	return took >= limit
}

// release releases a key that was claimed for a run that does not begin, because of err.
func (r *run) release(err error) *ended {
	ctx, done := r.engine.storeContext(context.WithoutCancel(r.caller))
	defer done()

	if _, err := r.engine.store.Release(ctx, store.Release{Claim: r.withoutNote(), Receipt: r.receipt.get()}); err != nil {
		r.observe(EventSettleFailed, err)
		r.releaseLater()
	}

	return &ended{err: err}
}

// Renew implements [lease.Owner].
func (r *run) Renew(ctx context.Context) (lease.Answer, error) {
	bounded, done := r.engine.storeContext(ctx)
	defer done()

	res, err := r.engine.store.Renew(bounded, store.Renewal{
		Key: r.claim.Key, Token: r.claim.Token, Lease: r.policy.Lease, Receipt: r.receipt.get(),
	})

	switch {
	case err != nil:
		return 0, err // for the observer
	case res.Applied:
		r.engine.renewals.Add(1)
		r.fence.Store(res.Record.Fence)
		r.receipt.set(res.Receipt)

		return lease.Renewed, nil
	case res.Record.State != store.Absent && res.Record.Token == r.claim.Token:
		return lease.Settled, nil
	default:
		return lease.Taken, nil
	}
}

// End implements [lease.Owner].
func (r *run) End(why lease.Reason) {
	if why == lease.RunOver {
		r.cancel(ErrMaxRun)
	} else {
		r.cancel(ErrLeaseLost)
	}
}

// Notice implements [lease.Owner].
func (r *run) Notice(what lease.Notice, err error) {
	if what == lease.Lost {
		r.observe(EventLeaseLost, nil)
	} else {
		r.observe(EventRenewFailed, err)
	}
}

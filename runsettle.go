package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	settleFirst = 20 * time.Millisecond
	settleMost  = time.Second

	// largeOutcome is the size of the smallest outcome that a store may be unable to keep, in bytes.
	largeOutcome = 64 << 10
	// refusalsOfLarge is how often a store that answers other operations has to refuse a large outcome, until a small outcome is written
	// instead.
	refusalsOfLarge = 5
)

// settler carries out the end of a run, as decided in end.go. Each shape has its own settler.
type settler interface {
	// context is the context of the handler.
	context() context.Context
	// settle writes the end of the run, and answers its caller and its duplicates.
	settle(out *Outcome) *ended
}

// settle calls the settler of a run. With a type switch instead of the interface, the compiler sees that the outcome does not outlive the
// call.
func settle(s settler, out *Outcome) *ended {
	switch s := s.(type) {
	case leasedSettler:
		return s.settle(out)
	case joinedSettler:
		return s.settle(out)
	case *singleSettler:
		return s.settle(out)
	case unprotectedSettler:
		return s.settle(out)
	default:
		panic(fmt.Sprintf("onlyonce: settling a run: unknown settler %T", s))
	}
}

// unprotectedSettler has nothing to write.
type unprotectedSettler struct{ *run }

func (s unprotectedSettler) context() context.Context { return s.joinable() }
func (s unprotectedSettler) settle(*Outcome) *ended {
	return &ended{status: StatusUnprotected}
}

// leasedSettler writes the outcome of a run when its handler has ended.
type leasedSettler struct{ *run }

func (s leasedSettler) context() context.Context { return s.joinable() }

func (s leasedSettler) settle(out *Outcome) *ended {
	s.lease.Settling()

	e := s.ending(out, joinNothing)

	w := s.write(&e, out)

	return s.conclude(&e, out, &w)
}

// ending returns everything that the end of the run depends on.
func (r *run) ending(out *Outcome, join joinState) ending {
	return ending{
		shape: r.shape, class: out.Class, failed: out.Err != nil, doubtful: r.doubtful, takeover: r.guarantee.TakeoverAllowed(),
		recoverable: r.call.Recover != nil, join: join,
	}
}

// written is the operation at the end of a run, and the store's answer.
type written struct {
	what   writing
	answer storeAnswer
	// err is why there is no answer. Later is the operation to try in the background then, and size its size in bytes.
	err   error
	later storeCall
	size  int
}

// storeCall is an operation that ends a run. It puts the store's answer into the result, which is too large to return.
type storeCall func(context.Context, *store.Result) error

// write writes the end of a leased run.
func (r *run) write(e *ending, out *Outcome) written {
	w := written{what: e.writes()}

	if w.what != writeOutcome {
		w.later, w.size = r.releasingOrHolding(w.what, out.Code)
		r.send(e, &w, w.later, 0)

		return w
	}

	r.op = r.completion(out)
	r.send(e, &w, r.complete, r.settleBudget())

	if w.err != nil {
		w.later, w.size = r.completingLater(out.Code), len(r.op.Outcome)
	}

	return w
}

// complete records the outcome of the run.
func (r *run) complete(ctx context.Context, res *store.Result) error {
	return r.engine.direct.CompleteTo(ctx, &r.op, res) //nolint:wrapcheck // judged by the caller
}

// send sends an operation, and notes the store's answer.
func (r *run) send(e *ending, w *written, call storeCall, budget time.Duration) {
	w.err = r.persist(call, budget)

	switch {
	case w.err == nil:
		w.answer = answerOf(&r.claim, e.join, &r.result)
	case r.mayBeOvertaken():
		w.answer = answerTooLate
	default:
		w.answer = answerNothing
	}
}

// conclude answers the caller and the duplicates of the run.
func (r *run) conclude(e *ending, out *Outcome, w *written) *ended {
	concluded := e.concludes(w.what, w.answer)

	if concluded.lost {
		r.lease.Lose()
	}

	if concluded.later {
		later := w.later
		r.writeLater(w.size, func(ctx context.Context) error { return later(ctx, new(store.Result)) })
	}

	rejection := concluded.rejection(w.err)

	switch {
	case rejection != nil && concluded.caller != getsOvertaken:
		r.observe(EventSettleFailed, rejection.Cause)
	case rejection == nil && w.err != nil:
		r.observe(EventSettleFailed, w.err)
	}

	r.land(r.landing(&concluded, out, rejection))

	if rejection != nil {
		return &ended{err: rejection}
	}

	end := &r.ended // in memory of the run

	switch concluded.caller {
	case getsRecord:
		return endedWith(r.answerFrom(&r.result.Record))
	case getsCommitted:
		return endedWith(r.committed(&r.result.Record))
	case getsOwnAnswer, getsOvertaken, getsUncertain, getsNotCommitted, getsRolledBack:
		end.status = concluded.status

		if concluded.status == StatusExecuted {
			end.retention = r.result.Record.Retention
		}
	}

	return end
}

// rejection is the rejection of the caller, or nil.
func (t *conclusion) rejection(cause error) *Rejection {
	switch t.caller {
	case getsOvertaken:
		return rejectLeaseLost()
	case getsUncertain:
		return rejectUncertain(cause)
	case getsNotCommitted:
		return rejectNotCommitted(ErrNotCommitted)
	case getsRolledBack:
		return rejectRolledBack(cause)
	case getsOwnAnswer, getsRecord, getsCommitted:
		return nil
	default:
		return nil
	}
}

// landing is the result for the duplicates that have waited for the run in this process.
func (r *run) landing(concluded *conclusion, out *Outcome, rejection *Rejection) landing {
	switch concluded.waiters {
	case waitersGetRecord:
		return landing{kind: landedRecord, record: &r.result.Record}
	case waitersGetError:
		return r.sharedEnd(out, concluded.status)
	case waitersGetRejection:
		return landing{kind: landedRejection, rejection: rejection}
	case waitersGetNotStored:
		return landing{kind: landedRejection, rejection: rejectInProgress(
			"the outcome of the call with this idempotency key is not stored yet; retry with the same key to get it")}
	case waitersStartOver:
		return landing{kind: landedAgain}
	default:
		return landing{kind: landedAgain}
	}
}

// sharedEnd gives the duplicates in this process the error of the run, so that they do not each run in turn.
func (r *run) sharedEnd(out *Outcome, status Status) landing {
	if out.Err == nil || errors.Is(out.Err, errPanicked) {
		return landing{kind: landedRejection, rejection: rejectInProgress(
			"the call with this idempotency key has ended without an outcome; retry with the same key")}
	}

	// The other callers still wait, and an error about the caller of the run is no answer to them.
	if r.policy.Detachment == Attached && r.caller.Err() != nil {
		return landing{kind: landedRejection, rejection: rejectInProgress(
			"the caller of the run with this idempotency key has gone; retry with the same key")}
	}

	return landing{kind: landedReply, reply: &Reply{Status: status, Shared: true, Err: out.Err}}
}

// completion is the operation that records an outcome, without its body if that is larger than the policy's MaxOutcome.
func (r *run) completion(out *Outcome) store.Completion {
	op := store.Completion{
		Key: r.claim.Key, Token: r.claim.Token, Receipt: r.receipt.get(),
		Outcome: outcome.Answer(&r.claim.Key, out.Code, out.Body, out.Room, r.policy.MaxOutcome, r.attached()),
	}

	// If an earlier run may have had its effect, an error such as "the payment exists" is kept for as long as an answer.
	if !r.doubtful {
		op.Retention = r.policy.outcomeRetention(out, r.call.TimeOrdered)
	}

	return op
}

// Operations that may wait in the backlog for long keep nothing of the run.

func completing(records store.Direct, op store.Completion) storeCall {
	return func(ctx context.Context, res *store.Result) error { return records.CompleteTo(ctx, &op, res) }
}

// releasingOrHolding returns the operation that releases or holds the key. Code is that of the outcome, or empty. Size is the size of the
// outcome that it keeps, in bytes.
func (r *run) releasingOrHolding(what writing, code string) (write storeCall, size int) {
	records := r.engine.store

	if what == writeHold {
		note := outcome.Stored{Kind: outcome.KindNote, Code: code, Attached: r.noted()}
		op := store.Hold{Key: r.claim.Key, Token: r.claim.Token, Outcome: note.Encode(&r.claim.Key), Receipt: r.receipt.get()}

		return func(ctx context.Context, res *store.Result) (err error) {
			*res, err = records.Hold(ctx, op)

			return err // judged by the caller
		}, len(op.Outcome)
	}

	op := store.Release{Claim: r.withoutNote(), Ambiguous: what == writeDoubtful, Receipt: r.receipt.get()}

	return func(ctx context.Context, res *store.Result) (err error) {
		*res, err = records.Release(ctx, op)

		return err // judged by the caller
	}, 0
}

// completingLater returns the operation that completes the record in the background. If the store refuses a large outcome again and again,
// and answers other operations, the record is completed without the body. A timeout is no refusal: its cause would hold up a small outcome
// too.
func (r *run) completingLater(code string) storeCall {
	e, op, event := r.engine, r.op, r.event(EventSettleFailed, nil)
	complete := completing(e.direct, op)

	if e.can.Inspector == nil || len(op.Outcome) < largeOutcome {
		return complete
	}

	key, size, refusals := op.Key, len(op.Outcome), 0
	instead := outcome.Stored{Kind: outcome.KindNotStored, Code: code, Attached: outcome.Attached{Trace: r.ownTrace()}}
	completeSmall := completing(e.direct, store.Completion{
		Key: key, Token: op.Token, Outcome: instead.Encode(&key), Retention: op.Retention,
	})

	return func(ctx context.Context, res *store.Result) error {
		err := complete(ctx, res)
		if err == nil || ctx.Err() != nil || timedOut(err) {
			return err
		}

		if _, down := e.can.Inspector.Lookup(ctx, key); down != nil {
			refusals = 0

			return err
		}

		refusals++
		if refusals < refusalsOfLarge {
			return err
		}

		if completeSmall(ctx, res) != nil {
			refusals = 0 // the store refuses a small outcome too

			return err
		}

		event.Err = fmt.Errorf("onlyonce: recording an outcome of %d bytes: the store refuses it, so it is recorded without its body; "+
			"lower MaxOutcome: %w", size, err)
		e.observe(ctx, event)

		return nil
	}
}

// timedOut reports that an error is a timeout of a context, a connection or the system.
func timedOut(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)

	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || ok && timeout.Timeout()
}

// settleBudget is how long the outcome is tried before the caller gets its answer: SettleTimeout, or less if the caller's deadline is near.
// After that deadline it is SettleTimeout again. StoreTimeout bounds each try.
func (r *run) settleBudget() time.Duration {
	budget := r.engine.limits.SettleTimeout

	if early, ok := r.answerBy(); ok {
		if left := time.Until(early); left > 0 {
			return min(budget, left)
		}
	}

	return budget
}

// persist writes, at least once, until the store has answered or the budget is over. The caller's cancellation does not stop it, because
// the handler has run.
func (r *run) persist(write storeCall, budget time.Duration) (err error) {
	until := r.started.Add(r.took + budget)
	for try := 1; ; try++ {
		ctx, done := r.settleContext()
		err = write(ctx, &r.result)

		done()

		if err == nil || final(err) {
			return err
		}

		delay := backoff(try, settleFirst, settleMost)
		if time.Now().Add(delay).After(until) {
			return err
		}

		time.Sleep(delay)
	}
}

// settleContext bounds one operation that goes on after the caller has gone. A context with a timer is not a child of the run's context:
// the timer may keep it in memory after the operation, and must not keep the run.
func (r *run) settleContext() (context.Context, context.CancelFunc) {
	if r.engine.can.Immediate {
		return &r.uncancelled, func() {}
	}

	return r.engine.storeContext(context.WithoutCancel(r.caller))
}

// final reports that another try of an operation is of no use.
func final(err error) bool {
	return errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer)
}

// mayBeOvertaken reports that another run of the key may have begun before this one ended.
func (r *run) mayBeOvertaken() bool {
	if errors.Is(context.Cause(r), ErrLeaseLost) {
		return true
	}

	until := r.lease.RunEnd().Add(r.policy.Lease) // from then on somebody may have settled the record as not executed

	if r.guarantee.TakeoverAllowed() {
		until = earlier(until, r.lease.AuthorityEnd())
	}

	return !r.started.Add(r.took).Before(until)
}

// backoff is the delay before another try. Try counts from 1. The delay begins with first, doubles up to most, and is random over its upper
// half.
func backoff(try int, first, most time.Duration) time.Duration {
	const doublings = 16

	d := min(first<<min(try-1, doublings), most)

	return d/2 + rand.N(d/2+1) //nolint:gosec // not a secret
}

// committed answers the caller of a run from the record that its handler has committed, so that caller and duplicates get the same answer.
func (r *run) committed(rec *store.Record) (Reply, error) {
	reply, err := r.answerFrom(rec)
	if err != nil {
		return Reply{}, err
	}

	return Reply{Status: StatusExecuted, Recorded: true, Body: reply.Body, Code: reply.Code, Retention: reply.Retention}, nil
}

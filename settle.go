package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	settleFirst = 20 * time.Millisecond
	settleMost  = time.Second
)

// settle writes how the run has ended, and says what its caller and its duplicates get.
func (x *execution) settle(out *Outcome) (Reply, error) {
	x.ran = time.Since(x.started)

	if out.Class != ClassDefinite {
		x.failure = out.Err
	}

	x.heartbeat.mu.Lock()
	x.heartbeat.settling = true
	x.heartbeat.mu.Unlock()

	if x.tx != nil {
		return x.settleTransaction(out)
	}

	if x.joined() {
		if reply, done, err := x.settleJoined(out); done {
			return reply, err
		}
	}

	switch {
	case out.Class == ClassDefinite:
		return x.complete(out)
	case out.Class == ClassNotExecuted && x.doubtful:
		// The handler speaks of its own run. An earlier one may have had its effect.
		return x.release(out, StatusUnknown)
	case out.Class == ClassNotExecuted:
		return x.release(out, StatusReleased)
	case x.guarantee.TakeoverAllowed():
		return x.release(out, StatusUnknown)
	default:
		return x.hold(out)
	}
}

func (x *execution) complete(out *Outcome) (Reply, error) {
	op := store.Completion{
		Key: x.key, Token: x.claim.Token, Outcome: x.answerOf(out.Code, out.Body), Retention: x.policy.Retention,
	}

	if err := x.persist(x.completing(op), x.settleBudget()); err != nil {
		x.settleLater(x.completingLater(op, out.Code))

		if x.joined() {
			return x.uncommitted(rejectUncertain(err))
		}

		x.observe(EventSettleFailed, err)
		x.land(landing{kind: landedRejection, rejection: rejectInProgress(
			"the outcome of the call with this idempotency key is not stored yet; retry with the same key to get it")})

		return Reply{Status: StatusUnrecorded}, nil
	}

	if !x.result.Applied {
		return x.superseded(&x.result.Record)
	}

	x.land(landing{kind: landedRecord, record: &x.result.Record})

	return Reply{Status: StatusExecuted}, nil
}

// settleBudget is how long the outcome is tried again before the caller gets its answer: as long as its deadline leaves time
// to answer it, or, after that, as long as the engine allows. One try is bounded by StoreTimeout alone.
func (x *execution) settleBudget() time.Duration {
	budget := x.engine.limits.SettleTimeout

	if early, ok := x.answerBy(); ok {
		if left := time.Until(early); left > 0 {
			return min(budget, left)
		}
	}

	return budget
}

// ending is what ends a run in the store. Results are large, so it puts the store's answer where it is wanted.
type ending func(context.Context, *store.Result) error

func (x *execution) completing(op store.Completion) ending {
	return func(ctx context.Context, res *store.Result) (err error) {
		*res, err = x.engine.store.Complete(ctx, op)

		return err // judged by whoever has asked
	}
}

const (
	// largeOutcome is the size from which on a store may be unable to keep an outcome.
	largeOutcome = 64 << 10
	// refusalsOfLarge is how often it has to refuse one, while it answers, to be taken at its word.
	refusalsOfLarge = 5
)

// completingLater is completing in the background, which need not outlive the call. A store that takes nothing so large would be
// asked for ever: where it refuses a large outcome again and again, and answers otherwise, it is told that the outcome is not
// stored. An operation that runs out of time is not refused: what holds it up would hold up a small one, too, until it is gone.
func (x *execution) completingLater(op store.Completion, code string) ending {
	complete := x.completing(op)

	inspector := x.engine.inspector
	if inspector == nil || len(op.Outcome) < largeOutcome {
		return complete
	}

	instead := storedOutcome{kind: kindNotStored, code: code}
	small := op
	small.Outcome = instead.encode(&x.key)
	refusals := 0

	return func(ctx context.Context, res *store.Result) error {
		err := complete(ctx, res)
		if err == nil || ctx.Err() != nil || timedOut(err) {
			return err
		}

		if _, down := inspector.Lookup(ctx, op.Key); down != nil {
			refusals = 0

			return err
		}

		refusals++
		if refusals < refusalsOfLarge {
			return err
		}

		if x.completing(small)(ctx, res) != nil {
			refusals = 0 // it takes nothing at all

			return err
		}

		x.observe(EventSettleFailed, fmt.Errorf("an outcome of %d bytes is recorded without its body: %w", len(op.Outcome), err))

		return nil
	}
}

// timedOut reports that an operation has run out of time, as a context, a connection or the system says it.
func timedOut(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)

	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || ok && timeout.Timeout()
}

// leaseLost lets the observer know that somebody else has settled or taken the record.
func (x *execution) leaseLost() {
	x.heartbeat.mu.Lock()
	defer x.unlockAndTell()

	x.reportLoss()
}

// superseded answers a run whose outcome was refused, because the record is not its own any more or was settled by
// somebody else.
func (x *execution) superseded(rec *store.Record) (Reply, error) {
	if rec.State == store.Completed && rec.Token == x.claim.Token && x.joinedHow() == joinWritten && !rec.Resolved {
		return x.ownRecord(rec)
	}

	x.leaseLost()

	switch {
	case x.recordLost(rec):
		return x.unrecorded()
	case rec.State == store.Completed, rec.State == store.Unknown:
		x.land(landing{kind: landedRecord, record: rec})
		x.permitted = true // it is the run's own caller

		return x.answerFrom(rec)
	case rec.Token == x.claim.Token:
		// It was resolved as not executed: the answer is true and nobody else will get it.
		return x.unrecorded()
	default:
		return Reply{}, rejectLeaseLost()
	}
}

// recordLost reports that the store has lost the record of the run, so that there is none, or that of another request.
func (x *execution) recordLost(rec *store.Record) bool {
	return rec.State == store.Absent || x.claim.Fingerprint.Differs(rec.Fingerprint)
}

func (x *execution) release(out *Outcome, status Status) (Reply, error) {
	return x.giveUp(out, status, x.releasing(out.Class == ClassAmbiguous))
}

func (x *execution) releasing(ambiguous bool) ending {
	op := store.Release{Claim: x.claim, Ambiguous: ambiguous, Retention: x.policy.Retention}

	return func(ctx context.Context, res *store.Result) (err error) {
		*res, err = x.engine.store.Release(ctx, op)

		return err // judged by whoever has asked
	}
}

func (x *execution) hold(out *Outcome) (Reply, error) {
	return x.giveUp(out, StatusUnknown, x.holding(out.Code))
}

// holding keeps the code that the run has ended with, or none.
func (x *execution) holding(code string) ending {
	note := storedOutcome{kind: kindNote, code: code}
	op := store.Hold{Key: x.key, Token: x.claim.Token, Outcome: note.encode(&x.key)}

	return func(ctx context.Context, res *store.Result) (err error) {
		*res, err = x.engine.store.Hold(ctx, op)

		return err // judged by whoever has asked
	}
}

// giveUp ends a run that has no outcome to record. The caller gets the handler's answer whatever the store says, unless
// the record was completed by somebody else: then it gets that.
func (x *execution) giveUp(out *Outcome, status Status, write ending) (Reply, error) {
	err := x.persist(write, 0)
	res := &x.result

	switch {
	case err != nil:
		x.observe(EventSettleFailed, err)
		x.settleLater(write)

		if x.mayBeOvertaken() {
			status = StatusUnknown
		}
	case !res.Applied && res.Record.State == store.Completed && !x.recordLost(&res.Record):
		return x.superseded(&res.Record)
	case !res.Applied:
		x.leaseLost()

		status = StatusUnknown // another run of the key has begun
	case res.Record.State == store.Unknown && x.call.Recover != nil:
		x.land(landing{kind: landedAgain}) // one of those who wait asks what became of it
	case res.Record.State == store.Unknown:
		x.land(landing{kind: landedRecord, record: &res.Record})
	}

	if !x.landed {
		x.land(x.sharedEnd(out, status))
	}

	return Reply{Status: status}, nil
}

// sharedEnd gives the duplicates in this process the error of the run, so that they do not each run in turn.
func (x *execution) sharedEnd(out *Outcome, status Status) landing {
	if out.Err == nil || errors.Is(out.Err, errPanicked) {
		return landing{kind: landedRejection, rejection: rejectInProgress(
			"the call with this idempotency key has ended without an outcome; retry with the same key")}
	}

	// Others have not given up: what the run says of its own caller is no answer to them.
	if x.policy.Detachment == Attached && x.caller.Err() != nil {
		return landing{kind: landedRejection, rejection: rejectInProgress(
			"the call with this idempotency key was given up by its caller; retry with the same key")}
	}

	return landing{kind: landedReply, reply: Reply{Status: status, Shared: true, Err: out.Err}}
}

// persist writes until the store has answered or the budget is over, at least once. The caller's cancellation does not
// matter: the handler has run.
func (x *execution) persist(write ending, budget time.Duration) (err error) {
	until := x.started.Add(x.ran + budget)

	for try := 1; ; try++ {
		ctx, done := x.engine.storeContext(x.base)
		err = write(ctx, &x.result)

		done()

		if err == nil || errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer) {
			return err
		}

		delay := backoff(try, settleFirst, settleMost)
		if time.Now().Add(delay).After(until) {
			return err
		}

		time.Sleep(delay)
	}
}

func (x *execution) settleLater(write ending) {
	x.engine.pending.add(x.call.Method, x.claim.ReadableKey, func(ctx context.Context) error {
		return write(ctx, new(store.Result))
	})
}

// mayBeOvertaken reports that another run of the key may have begun before this one ended.
func (x *execution) mayBeOvertaken() bool {
	if errors.Is(context.Cause(x.current), ErrLeaseLost) {
		return true
	}

	until := x.runEnd.Add(x.policy.Lease) // from then on somebody may have settled it as not executed

	if x.guarantee.TakeoverAllowed() {
		x.heartbeat.mu.Lock()
		until = earlier(until, x.authorityEnd())
		x.heartbeat.mu.Unlock()
	}

	return !x.started.Add(x.ran).Before(until)
}

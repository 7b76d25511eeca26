package onlyonce

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/flight"
	"github.com/onlyonce-go/onlyonce/internal/lease"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// claimTries is how often a claim is sent before it is abandoned. All copies have the same token, so it does not matter whether an
	// earlier copy has arrived.
	claimTries      = 3
	claimRetryDelay = 10 * time.Millisecond
)

// lead claims the key and carries out the moves that follow from the store's answers. When it returns or panics, the flight has landed, and
// a claim that the store has not answered is withdrawn. Sent is the time of the first claim.
func (a *attempt) lead(sent time.Time) (Reply, error) {
	wait := remoteWait{a: a}

	defer func() {
		wait.stop()
		a.withdraw()

		if !a.landed {
			a.land(landing{kind: landedAgain})
		}
	}()

	a.takeNote()

	at := situation{
		claim: &a.claim, answer: &a.result, window: a.window,
		canRecover: a.call.Recover != nil && a.engine.can.Inspector != nil,
	}

	var earlier *rerun

	for ; ; sent = time.Now() {
		if a.engine.draining.Load() {
			return Reply{}, rejectDraining()
		}

		// A claim that wins now could not be settled if the store failed again.
		if a.mayFailOpen() && a.engine.backlog.Full() {
			return a.runUnprotected()
		}

		tx, failed := a.makeClaim(sent)
		if failed != nil {
			return a.claimFailed(failed)
		}

		a.answered = true

		switch next := at.next(); next {
		case moveRun:
			a.unanswered = false // an earlier copy of the claim finds the record of this run
			wait.stop()

			end := a.own(tx, sent, earlier)
			if end.again == nil {
				return end.reply(), end.err
			}

			earlier = end.again
		case moveRecover:
			about, err := a.recover(decide(&a.claim, &a.result))
			if err != nil {
				return Reply{}, err
			}

			at.recovered = about
		case moveReclaim:
			at.reclaims++

			a.expect(&a.result.Record)
		case moveWait:
			if again, err := wait.until(&a.result); !again {
				return Reply{}, err
			}
		case moveReplay, moveUnknown, moveReused, moveExpired, moveAbandon:
			return a.answer(next)
		}
	}
}

// expect makes the next claim the one that the record allows.
func (a *attempt) expect(rec *store.Record) {
	a.claim.Fence = rec.Fence

	if rec.State != store.Absent && rec.Token == a.claim.Token {
		a.claim.Token = newToken(time.Now())
	}
}

// answer ends a call whose claim has not won.
func (a *attempt) answer(how move) (Reply, error) {
	switch how {
	case moveReplay, moveUnknown:
		a.land(landing{kind: landedRecord, record: &a.result.Record})

		return a.answerFrom(&a.result.Record)
	case moveReused:
		// The flight was about another request than the record. Its followers may have the record's own request, so they start over.
		return Reply{}, rejectReused(firstOf(&a.result.Record, a.result.Record.LeaseAlive(a.result.Now)))
	case moveExpired:
		rejection := rejectExpired()
		a.land(landing{kind: landedRejection, rejection: rejection})

		return Reply{}, rejection
	case moveRun, moveWait, moveRecover, moveReclaim, moveAbandon:
	}

	return Reply{}, rejectInProgress(inProgress)
}

// claimError is why the store has not answered a claim.
type claimError struct {
	err error
	// byDeadline means that the claim was abandoned because the deadline of this caller is near. The store may be healthy.
	byDeadline bool
}

// makeClaim makes the claim: for a single transaction in that transaction, and otherwise by itself.
func (a *attempt) makeClaim(sent time.Time) (store.Transaction, *claimError) {
	if a.shape() == single {
		return a.begin()
	}

	return nil, a.sendClaim(sent)
}

// sendClaim sends the claim until the store answers or the tries are over.
func (a *attempt) sendClaim(sent time.Time) *claimError {
	until, byDeadline := a.claimUntil(sent)

	for try := 1; ; try++ {
		if err := a.caller.Err(); err != nil {
			return &claimError{err: err}
		}

		ctx, done := a.engine.claimContext(a.caller, until)
		err := a.engine.direct.ClaimTo(ctx, &a.claim, &a.result)

		done()

		switch {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			return &claimError{err: err}
		}

		a.unanswered = true

		late := !time.Now().Before(until)
		if try == claimTries || late || !sleep(a.caller, jittered(claimRetryDelay<<try)) {
			return &claimError{err: err, byDeadline: late && byDeadline}
		}
	}
}

// claimUntil is when a claim is abandoned: for a caller with a deadline, after half of its time. The caller, or a run without protection,
// can use the other half. The second result reports that the deadline decides.
func (a *attempt) claimUntil(sent time.Time) (time.Time, bool) {
	until := sent.Add(claimTries * a.engine.limits.StoreTimeout)

	if deadline, ok := a.caller.Deadline(); ok {
		if half := sent.Add(deadline.Sub(sent) / 2); half.Before(until) {
			return half, true
		}
	}

	return until, false
}

// begin makes the claim in a transaction. The caller's deadline bounds the wait, and its cancellation ends the wait for room. A statement
// that the database works on goes on, because an interruption would cost the connection.
func (a *attempt) begin() (store.Transaction, *claimError) {
	if err := a.caller.Err(); err != nil {
		return nil, &claimError{err: err}
	}

	// Another transaction may hold the record. Its request cannot be seen yet.
	a.engine.flights.Enter(&a.claim.Key, &a.flight, flight.Blocked, store.Fingerprint{})

	wait := max(time.Until(a.waitEnd()), 0)
	early, bounded := a.answerBy()
	byDeadline := bounded && early.Before(a.began.Add(max(a.policy.MaxWait, 0)))
	until := time.Now().Add(wait + a.engine.limits.StoreTimeout)

	ctx, done := a.engine.storeDeadline(&ownDeadline{Context: a.caller, at: until}, until)
	defer done()

	res, tx, err := a.engine.can.Transactional.Begin(ctx, a.claim, wait)
	a.result = res

	if err != nil {
		return nil, &claimError{err: err, byDeadline: byDeadline}
	}

	return tx, nil
}

// ownDeadline is a context that is cancelled with the context around it, and has a deadline of its own, which may be later.
type ownDeadline struct {
	context.Context //nolint:containedctx // it is one

	at time.Time
}

// Deadline returns its own deadline.
func (c *ownDeadline) Deadline() (time.Time, bool) { return c.at, true }

// claimFailed ends a call whose claim the store has not answered.
func (a *attempt) claimFailed(failed *claimError) (Reply, error) {
	a.withdraw()

	if a.caller.Err() != nil {
		return Reply{}, callerGone(a.caller, "before the key was claimed")
	}

	rejection := rejectStoreError(failed.err)
	down := rejection.Reason == ReasonStoreUnavailable

	if down && a.mayFailOpen() {
		return a.runUnprotected()
	}

	if !failed.byDeadline {
		a.land(landing{kind: landedRejection, rejection: rejection})
	}

	return Reply{}, rejection
}

// mayFailOpen reports whether the call may run without protection. A store that has answered this call is not down, and may have
// reported a run. A call whose key had to be looked up may have run long ago.
func (a *attempt) mayFailOpen() bool {
	return a.policy.StoreDown == FailOpen && !a.answered && !a.lookupOnly()
}

// withdraw releases, in the background, a claim that the store has not answered. It may have arrived, and must not win after its caller has
// gone.
func (a *attempt) withdraw() {
	if !a.unanswered || a.lookupOnly() {
		return
	}

	a.unanswered = false
	a.observe(EventClaimWithdrawn, nil)

	// A method that fails open goes on in a long outage, when there is no room left for its releases.
	if a.policy.StoreDown == FailOpen && a.engine.backlog.Full() {
		return
	}

	a.releaseLater()
}

// releaseLater releases the claim in the background until the store has acknowledged it.
func (a *attempt) releaseLater() {
	// A call that fails open may run without a record, so its release is ambiguous.
	op := store.Release{Claim: a.withoutNote(), Ambiguous: a.policy.StoreDown == FailOpen}
	records := a.engine.store

	a.writeLater(0, func(ctx context.Context) error {
		_, err := records.Release(ctx, op)

		return err // only seen by the observer
	})
}

// sleep waits, and reports true. If ctx ends before, it reports false.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// shape is the shape of the call's run, if its claim wins.
func (a *attempt) shape() shape {
	switch {
	case a.policy.Guarantee != ExactlyOnce:
		return leased
	case a.policy.TransactionMode == JoinedTransaction:
		return joined
	default:
		return single
	}
}

// own runs the handler of a call whose claim has won.
func (a *attempt) own(tx store.Transaction, sent time.Time, earlier *rerun) *ended {
	if tx != nil {
		return a.ownTransaction(tx, earlier)
	}

	rec := &a.result.Record
	r := a.newRun(a.shape(), rec.Guarantee)

	if a.caller.Err() != nil {
		return r.release(callerGone(a.caller, "before the handler ran"))
	}

	took := time.Since(sent) // which costs half of time.Now

	if r.tooLate(took) {
		return r.release(rejectTooLate())
	}

	r.start(rec.Fingerprint, sent.Add(took))
	defer r.stop()

	r.lease.Start(&r.uncancelled, &a.engine.leases, r, lease.Terms{
		Length: a.policy.Lease, Anchor: sent, RunEnd: a.runEnd(sent), Takeover: r.guarantee.TakeoverAllowed(),
	})
	defer r.lease.Stop()

	if rec.Attempts > 1 {
		a.observe(EventTakeover, nil) // under the lease, for an observer that takes its time
	}

	if r.shape == joined {
		return r.carryOut(joinedSettler{r})
	}

	return r.carryOut(leasedSettler{r})
}

// runUnprotected calls the handler without a record, because the store is down and the policy fails open.
func (a *attempt) runUnprotected() (Reply, error) {
	a.result = store.Result{}

	now := time.Now()

	r := a.newRun(unprotected, a.policy.Guarantee)
	r.start(a.claim.Fingerprint, now)
	defer r.stop()

	r.lease.Start(&r.uncancelled, &a.engine.leases, r, lease.Terms{RunEnd: a.runEnd(now)})
	defer r.lease.Stop()

	end := r.carryOut(unprotectedSettler{r})

	return end.reply(), end.err
}

// runEnd is when a run must end. MaxRun counts from the given time:
//   - from when the claim was sent, so that the run does not outlast the OwnerAliveUntil of its record;
//   - in a single transaction, whose record is not visible before it is over, from when the transaction began.
func (a *attempt) runEnd(from time.Time) time.Time { return from.Add(a.policy.MaxRun) }

// newRun makes the run of the record in a.result.
func (a *attempt) newRun(how shape, guarantee Guarantee) *run {
	rec := &a.result.Record
	r := &run{
		attempt: a, shape: how, guarantee: guarantee, number: max(rec.Attempts, 1), doubtful: rec.Doubtful,
		uncancelled: uncancelledContext{a.caller},
	}

	if how == leased || how == joined {
		r.fence.Store(rec.Fence)
		r.receipt.set(a.result.Receipt)
	}

	if how != unprotected {
		a.noteScheme(rec)
	}

	a.run = r

	return r
}

// ownTransaction runs the handler in the transaction of its claim. Earlier is nil for the first one.
func (a *attempt) ownTransaction(tx store.Transaction, earlier *rerun) *ended {
	if earlier == nil {
		earlier = new(rerun)
	}

	s := &singleSettler{tx: tx, earlier: earlier}
	defer s.rollBack() // for a panic on the way

	if a.caller.Err() != nil {
		return &ended{err: callerGone(a.caller, "before the handler ran")}
	}

	// There is no lease that could have ended, so the wait for the store does not shorten the run.
	if earlier.began.IsZero() {
		earlier.began = time.Now()
	}

	// The guarantee is the policy's, even if the record's is stricter: see ExactlyOnce.
	s.run = a.newRun(single, a.policy.Guarantee)

	end, now := a.runEnd(earlier.began), time.Now()

	if !now.Before(end) {
		s.rollBack()

		return s.conflictedTooOften(ErrMaxRun)
	}

	s.start(a.result.Record.Fingerprint, now)
	defer s.stop()

	s.lease.Start(&s.uncancelled, &a.engine.leases, s.run, lease.Terms{RunEnd: end})
	defer s.lease.Stop()

	how := s.carryOut(s)

	if again := how.again; again != nil && !sleep(a.caller, jittered(conflictDelay<<again.conflicts)) {
		return &ended{err: callerGone(a.caller, "after its transaction was rolled back")}
	}

	return how
}

package onlyonce

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// claimTries is how often a claim is sent before it is given up, always with the same token, so that it does not
	// matter whether an earlier copy has arrived.
	claimTries      = 3
	claimRetryDelay = 10 * time.Millisecond
	// maxReclaims bounds how often a call claims a key that others take from it at the very same time.
	maxReclaims = 32
)

// lead claims the key and does what the store's answer asks for. Whatever happens, the flight has landed and a claim of
// unknown fate is released when it returns.
func (x *execution) lead() (Reply, error) {
	wait := elsewhere{x: x}

	defer func() {
		wait.stop()

		if !x.landed {
			x.land(landing{kind: landedAgain})
		}
	}()

	for reclaims := 0; ; {
		if x.engine.draining.Load() {
			x.withdraw()

			return Reply{}, rejectDraining()
		}

		// What would be claimed now could not be settled if the store failed again.
		if x.policy.StoreDown == FailOpen && !x.answered && !x.looking() && x.engine.pending.full() {
			return x.runUnprotected()
		}

		sent := time.Now()

		if err := x.makeClaim(sent); err != nil {
			return x.claimFailed(err)
		}

		x.answered = true

		res := &x.result
		next := decide(&x.claim, res)

		if x.recovering(next, &res.Record) {
			if err := x.lookInto(next, res); err != nil {
				x.withdraw()

				return Reply{}, err
			}

			continue
		}

		if next == actRun {
			wait.stop()

			reply, again, err := x.won(sent)
			if !again {
				return reply, err
			}

			continue
		}

		if next == actReclaim && x.keyTooOld(res) {
			return x.refuseTooOld()
		}

		if next == actReclaim && reclaims < maxReclaims {
			reclaims++

			x.expect(&res.Record)

			continue
		}

		if next != actWait || !wait.until(res) {
			return x.answer(next, res, wait.err)
		}
	}
}

// expect makes the next claim the one that the record allows.
func (x *execution) expect(rec *store.Record) {
	x.claim.Fence = rec.Fence

	if rec.State != store.Absent && rec.Token == x.claim.Token {
		x.claim.Token = newToken()
	}
}

// answer ends a call whose claim has not won.
func (x *execution) answer(next action, res *store.Result, waitErr error) (Reply, error) {
	rec := &res.Record
	x.withdraw()

	if waitErr != nil {
		return Reply{}, waitErr
	}

	switch next {
	case actReplay, actUnknown:
		x.land(landing{kind: landedRecord, record: rec})

		return x.answerFrom(rec)
	case actReused:
		// The flight was about another request than the record: its followers may well be the record's own, so they
		// start over.
		return Reply{}, rejectReused()
	case actWait, actReclaim, actRun:
	}

	return Reply{}, rejectInProgress("a call with this idempotency key is in progress; retry with the same key to get its outcome")
}

// makeClaim makes the claim, in a transaction where the run is to have one.
func (x *execution) makeClaim(now time.Time) error {
	if x.single() {
		return x.begin()
	}

	return x.sendClaim(now)
}

// won runs the handler. The second result asks to claim again.
func (x *execution) won(sent time.Time) (Reply, bool, error) {
	if x.tx != nil {
		return x.ownTransaction()
	}

	reply, err := x.own(&x.result, sent)

	return reply, false, err
}

// sendClaim sends the claim until the store answers or has had its tries.
func (x *execution) sendClaim(now time.Time) (err error) {
	until := x.claimUntil(now)

	for try := 1; ; try++ {
		if err := x.caller.Err(); err != nil {
			return err // wrapped by claimFailed
		}

		ctx, done := x.engine.claimContext(x.caller, until)
		x.result, err = x.engine.store.Claim(ctx, x.claim)

		done()

		if err == nil {
			return nil
		}

		if errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer) {
			return err // classified by the caller
		}

		x.uncertain = true

		late := !time.Now().Before(until)
		x.hasty = late && x.hurried

		if try == claimTries || late || !sleep(x.caller, jittered(claimRetryDelay<<try)) {
			return err // classified by the caller
		}
	}
}

// claimUntil is when a claim is given up: a caller with a deadline is told in half of its time that the store cannot be
// reached, so that it, or a run without protection, can use the other half.
func (x *execution) claimUntil(now time.Time) time.Time {
	until := now.Add(claimTries * x.engine.limits.StoreTimeout)

	if deadline, ok := x.caller.Deadline(); ok {
		if half := now.Add(deadline.Sub(now) / 2); half.Before(until) {
			x.hurried = true

			return half
		}
	}

	return until
}

// claimFailed ends a call whose claim the store has not answered.
func (x *execution) claimFailed(err error) (Reply, error) {
	x.withdraw()

	if x.caller.Err() != nil {
		return Reply{}, callerGone(x.caller, "before the key was claimed")
	}

	rejection := rejectStoreError(err)

	// A store that has answered this call is not down, and may have said that somebody runs. A key that had to be looked up may have
	// been executed long ago.
	if rejection.Reason == ReasonStoreUnavailable && x.policy.StoreDown == FailOpen && !x.answered && !x.looking() {
		return x.runUnprotected()
	}

	// That this caller was in a hurry says nothing about the others.
	if !x.hasty || rejection.Reason != ReasonStoreUnavailable {
		x.land(landing{kind: landedRejection, rejection: rejection})
	}

	return Reply{}, rejection
}

// withdraw releases a claim that nobody knows the fate of, in the background, so that it cannot win after its caller has
// gone.
func (x *execution) withdraw() {
	if !x.uncertain || x.looking() {
		return
	}
	x.observe(EventClaimWithdrawn, nil)

	// A method that runs without protection goes on in a long outage, when there is no room left for its releases.
	if x.policy.StoreDown == FailOpen && x.engine.pending.full() {
		return
	}

	x.releaseLater()
}

// releaseLater releases the claim in the background until the store has acknowledged it.
func (x *execution) releaseLater() {
	// A method that fails open may run all the same, without a record.
	op := store.Release{Claim: x.claim, Ambiguous: x.policy.StoreDown == FailOpen, Retention: x.policy.Retention}

	x.engine.pending.add(x.call.Method, x.claim.ReadableKey, func(ctx context.Context) error {
		_, err := x.engine.store.Release(ctx, op)

		return err // only seen by the observer
	})
}

func (x *execution) land(how landing) {
	x.landed = true
	x.engine.flights.land(&x.key, &x.flight, how)
}

// sleep waits, and reports whether it has: not if ctx has ended before.
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

// backoff is the delay before a try, counted from 1, of something that is tried until it succeeds: from first on,
// doubled each time up to most, spread over its upper half.
func backoff(try int, first, most time.Duration) time.Duration {
	const doublings = 16

	d := min(first<<min(try-1, doublings), most)

	return d/2 + rand.N(d/2+1) //nolint:gosec // not a secret
}

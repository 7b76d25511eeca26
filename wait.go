package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	pollFirst = 20 * time.Millisecond
	pollMost  = 500 * time.Millisecond
	// pollNotified is how often a store that notifies is polled all the same.
	pollNotified = 2 * time.Second
	// leaseSlack is added to the end of a lease before it is looked at again.
	leaseSlack = time.Millisecond
	// answerTime is how long before its caller's deadline a wait ends, so that the caller can still be told to retry;
	// a tenth of the time that is left, where that is less.
	answerTime = 200 * time.Millisecond
)

// patience is when this call stops waiting.
func (x *execution) patience() time.Time {
	until := x.began.Add(max(x.policy.MaxWait, 0))

	if early, ok := x.answerBy(); ok && early.Before(until) {
		return early
	}

	return until
}

// answerBy is when a caller with a deadline has to be answered so that the answer still reaches it.
func (x *execution) answerBy() (time.Time, bool) {
	deadline, ok := x.caller.Deadline()
	if !ok {
		return time.Time{}, false
	}

	margin := min(answerTime, deadline.Sub(x.began)/10) // a tenth

	return deadline.Add(-margin), true
}

// elsewhere is a leader's wait for a run in another process, or under another engine.
type elsewhere struct {
	x       *execution
	polls   int
	changed <-chan struct{}
	unwatch func()
	err     error // why the wait ended without a claim to make, where that is not the bound
}

// until waits until the record may have changed, and reports whether to claim again: not when the call may not wait, or
// has waited long enough.
func (w *elsewhere) until(res *store.Result) bool {
	x := w.x
	rec := &res.Record

	if w.polls == 0 {
		x.noteScheme(rec)

		if w.err = x.permit(); w.err != nil {
			return false
		}
	}

	x.engine.flights.enter(flightRunning, &x.key, &x.flight, rec.Fingerprint, nil)

	left := time.Until(x.patience())
	if left <= 0 {
		return false
	}

	if w.polls == 0 && !x.engine.seat() {
		return false
	}

	w.polls++

	// A watch sees what happens after it began, so the record is read once more before anything is waited for.
	if x.engine.notifier != nil && w.changed == nil {
		w.changed, w.unwatch = x.engine.notifier.Watch(x.key)

		return true
	}

	delay := backoff(w.polls, pollFirst, pollMost)
	if w.changed != nil {
		delay = backoff(1, pollNotified, pollNotified)
	}

	delay = min(delay, rec.LeaseUntil.Sub(res.Now)+leaseSlack, left)

	timer := time.NewTimer(delay)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-w.changed:
		w.endWatch()
	case <-x.caller.Done():
		w.err = callerGone(x.caller, "while it waited")

		return false
	}

	return true
}

func (w *elsewhere) endWatch() {
	if w.unwatch != nil {
		w.unwatch()
		w.changed, w.unwatch = nil, nil
	}
}

// stop ends the wait. The leader may have gone on to run.
func (w *elsewhere) stop() {
	w.endWatch()

	if w.polls > 0 {
		w.polls = 0
		w.x.engine.unseat()
	}
}

// seat counts a waiter in, unless the process has too many.
func (e *Engine) seat() bool {
	if e.waiters.Add(1) > int64(e.limits.MaxWaiters) {
		e.waiters.Add(-1)

		return false
	}

	return true
}

func (e *Engine) unseat() { e.waiters.Add(-1) }

// follow waits for the flight of another call in this process. The second result asks to start over.
func (x *execution) follow(f *flight) (Reply, bool, error) {
	fs := &x.engine.flights

	if !x.engine.seat() {
		return Reply{}, false, x.turnAway(f, "too many calls wait on this server; retry with the same key")
	}
	defer x.engine.unseat()

	if !fs.follow(&x.key, f, x.engine.limits.MaxWaitersPerKey) {
		return Reply{}, false, x.turnAway(f, "too many calls wait for this idempotency key; retry with the same key")
	}
	defer fs.unfollow(&x.key, f)

	var timer *time.Timer

	for {
		seen := fs.view(&x.key, f)

		switch seen.phase {
		case flightOver:
			return x.landing(&seen)
		case flightRunning, flightRecovering:
			if x.claim.Fingerprint.Differs(seen.fingerprint) {
				return Reply{}, false, rejectReused()
			}

			if err := x.permit(); err != nil {
				return Reply{}, false, err
			}
		case flightClaiming, flightBlocked: // the store will answer the leader
		}

		var timeout <-chan time.Time

		if until, ok := x.followUntil(seen.phase); ok {
			if timer == nil {
				timer = time.NewTimer(time.Until(until))
				defer timer.Stop() //nolint:gocritic // once
			} else {
				timer.Reset(time.Until(until))
			}

			timeout = timer.C
		}

		select {
		case <-seen.changed:
		case <-timeout:
			return Reply{}, false, rejectInProgress(
				"a call with this idempotency key is in progress; retry with the same key to get its outcome")
		case <-x.caller.Done():
			return Reply{}, false, callerGone(x.caller, "while it waited")
		}
	}
}

// followUntil is when a follower stops waiting. It has patience with a run. How long the store takes to answer the leader,
// or a recovery function to find out, is bounded, and no reason to give up except for the caller's own deadline.
func (x *execution) followUntil(phase flightPhase) (time.Time, bool) {
	if phase == flightRunning || phase == flightBlocked {
		return x.patience(), true
	}

	return x.answerBy()
}

// turnAway answers a call that finds no place to wait, in the contract's order: what is wrong with it comes first.
func (x *execution) turnAway(f *flight, message string) error {
	if seen := x.engine.flights.view(&x.key, f); seen.phase != flightClaiming && seen.phase != flightBlocked {
		if x.claim.Fingerprint.Differs(seen.fingerprint) {
			return rejectReused()
		}

		if err := x.permit(); err != nil {
			return err
		}
	}

	return rejectInProgress(message)
}

// landing answers a follower with what its flight has come to.
func (x *execution) landing(seen *view) (Reply, bool, error) {
	how := &seen.landing

	switch how.kind {
	case landedRecord:
		reply, err := x.answerFrom(how.record)

		return reply, false, err
	case landedReply:
		if x.claim.Fingerprint.Differs(seen.fingerprint) {
			return Reply{}, false, rejectReused()
		}

		if err := x.permit(); err != nil {
			return Reply{}, false, err
		}

		return how.reply, false, nil
	case landedRejection:
		return Reply{}, false, how.rejection.again()
	case landedAgain:
		if x.caller.Err() != nil {
			return Reply{}, false, callerGone(x.caller, "while it waited")
		}

		return Reply{}, true, nil
	default:
		return Reply{}, true, nil
	}
}

// callerGone is the error of a call whose caller has gone. It matches the context's error, and its cause.
func callerGone(ctx context.Context, when string) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return fmt.Errorf("onlyonce: the caller has gone %s: %w", when, err)
	}

	return fmt.Errorf("onlyonce: the caller has gone %s: %w: %w", when, err, cause)
}

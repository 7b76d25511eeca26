package onlyonce

import (
	"time"

	"github.com/onlyonce-go/onlyonce/internal/flight"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	pollFirst = 20 * time.Millisecond
	pollMost  = 500 * time.Millisecond
	// pollNotified is the period in which a store that notifies is polled as well.
	pollNotified = 2 * time.Second
	// leaseSlack is how long after the end of a lease the record is read again.
	leaseSlack = time.Millisecond
	// answerTime is how long before its caller's deadline a wait ends, so that the caller still gets the answer to retry. It is a tenth of the
	// caller's time if that is less.
	answerTime = 200 * time.Millisecond
)

// waitEnd is when this call stops waiting.
func (a *attempt) waitEnd() time.Time {
	until := a.began.Add(max(a.policy.MaxWait, 0))

	if early, ok := a.answerBy(); ok && early.Before(until) {
		return early
	}

	return until
}

// answerBy is when a caller with a deadline has to be answered, so that the answer reaches it in time.
func (a *attempt) answerBy() (time.Time, bool) {
	deadline, ok := a.caller.Deadline()
	if !ok {
		return time.Time{}, false
	}

	margin := min(answerTime, deadline.Sub(a.began)/10) // a tenth

	return deadline.Add(-margin), true
}

// remoteWait is a leader's wait for a run in another process, or under another engine.
type remoteWait struct {
	a       *attempt
	polls   int
	began   time.Time // when the first poll began
	changed <-chan struct{}
	unwatch func()
}

// until waits until the record may have changed, and reports whether to claim again. Otherwise err is the call's answer: it may not wait,
// or its wait is over.
func (w *remoteWait) until(res *store.Result) (again bool, err error) {
	a := w.a
	rec := &res.Record

	if w.polls == 0 {
		a.noteScheme(rec)

		if err := a.permit(nil); err != nil {
			return false, err
		}
	}

	a.engine.flights.Enter(&a.claim.Key, &a.flight, flight.Running, rec.Fingerprint)

	left := time.Until(a.waitEnd())
	if left <= 0 || w.polls == 0 && !a.engine.waiters.Take(a.claim.Scope, 1) {
		return false, rejectInProgress(inProgress)
	}

	if w.polls == 0 {
		w.began = time.Now()
	}

	w.polls++

	// A watch sees only later changes, so the record is read once more before the wait.
	if notifier := a.engine.can.Notifier; notifier != nil && w.changed == nil {
		w.changed, w.unwatch = notifier.Watch(a.claim.Key)

		return true, nil
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
	case <-a.caller.Done():
		return false, callerGone(a.caller, "while it waited")
	}

	return true, nil
}

func (w *remoteWait) endWatch() {
	if w.unwatch != nil {
		w.unwatch()
		w.changed, w.unwatch = nil, nil
	}
}

// stop ends the wait, also if the leader goes on to run.
func (w *remoteWait) stop() {
	w.endWatch()

	if w.polls > 0 {
		w.polls = 0
		w.a.detail().waited += time.Since(w.began)
		w.a.engine.waiters.Give(w.a.claim.Scope, 1)
	}
}

// follow waits for the flight of another call in this process. The second result means that the call starts over.
func (a *attempt) follow(f *flight.Flight[landing]) (Reply, bool, error) {
	flights, key := &a.engine.flights, &a.claim.Key

	if !a.engine.waiters.Take(a.claim.Scope, 1) {
		return Reply{}, false, a.rejectWaiter(f, "too many calls wait on this server; retry with the same key")
	}
	defer a.engine.waiters.Give(a.claim.Scope, 1)

	began := time.Now()
	defer func() { a.detail().waited += time.Since(began) }()

	if !flights.Follow(key, f, a.engine.limits.MaxWaitersPerKey) {
		return Reply{}, false, a.rejectWaiter(f, "too many calls wait for this idempotency key; retry with the same key")
	}
	defer flights.Unfollow(key, f)

	var timer *time.Timer

	for {
		seen := flights.View(key, f)

		switch seen.Phase {
		case flight.Over:
			return a.answerLanding(&seen)
		case flight.Running, flight.Recovering:
			if a.claim.Fingerprint.Differs(seen.Fingerprint) {
				return Reply{}, false, rejectReused(firstIn(seen.Phase))
			}

			if err := a.permit(nil); err != nil {
				return Reply{}, false, err
			}
		case flight.Claiming, flight.Blocked: // the store will answer the leader
		}

		var timeout <-chan time.Time

		if until, ok := a.followUntil(seen.Phase); ok {
			if timer == nil {
				timer = time.NewTimer(time.Until(until))
				defer timer.Stop() //nolint:gocritic // once
			} else {
				timer.Reset(time.Until(until))
			}

			timeout = timer.C
		}

		select {
		case <-seen.Changed:
		case <-timeout:
			return Reply{}, false, rejectInProgress(inProgress)
		case <-a.caller.Done():
			return Reply{}, false, callerGone(a.caller, "while it waited")
		}
	}
}

// followUntil is when a follower stops waiting. MaxWait bounds its wait for a run. Only the caller's deadline bounds its wait for the
// store's answer to the leader, or for a recovery function: both have bounds of their own.
func (a *attempt) followUntil(phase flight.Phase) (time.Time, bool) {
	if phase == flight.Running || phase == flight.Blocked {
		return a.waitEnd(), true
	}

	return a.answerBy()
}

// rejectWaiter rejects a call that finds no place to wait. By the contract's order of checks, errors of the call itself come first.
func (a *attempt) rejectWaiter(f *flight.Flight[landing], message string) error {
	if seen := a.engine.flights.View(&a.claim.Key, f); seen.Phase != flight.Claiming && seen.Phase != flight.Blocked {
		if a.claim.Fingerprint.Differs(seen.Fingerprint) {
			return rejectReused(firstIn(seen.Phase))
		}

		if err := a.permit(nil); err != nil {
			return err
		}
	}

	return rejectInProgress(message)
}

// firstIn returns the state of the request of a flight in a phase.
func firstIn(phase flight.Phase) first {
	if phase == flight.Running {
		return firstRunning
	}

	return firstUnknown
}

// firstEnded returns the state of a request whose run left no outcome.
func firstEnded(status Status) first {
	if status == StatusReleased {
		return firstReleased
	}

	return firstUnknown
}

// answerLanding answers a follower from the landing of its flight.
func (a *attempt) answerLanding(seen *flight.View[landing]) (Reply, bool, error) {
	how := &seen.Landing

	switch how.kind {
	case landedRecord:
		reply, err := a.answerFrom(how.record)

		return reply, false, err
	case landedReply:
		if a.claim.Fingerprint.Differs(seen.Fingerprint) {
			return Reply{}, false, rejectReused(firstEnded(how.reply.Status))
		}

		if err := a.permit(nil); err != nil {
			return Reply{}, false, err
		}

		return *how.reply, false, nil
	case landedRejection:
		return Reply{}, false, how.rejection.again()
	case landedAgain:
		if a.caller.Err() != nil {
			return Reply{}, false, callerGone(a.caller, "while it waited")
		}

		return Reply{}, true, nil
	default:
		return Reply{}, true, nil
	}
}

// recover calls the recovery function about the record, and returns when it is time to claim again.
//   - Next is the move of the call without a recovery.
//   - About is the owner that the function was called about. It may differ from the record's owner, if a recovery was under way already.
//   - The error ends this call, because it may not wait or its time is over. Other calls go on to wait for the same recovery.
func (a *attempt) recover(next move) (about owner, err error) {
	if err := a.permit(nil); err != nil {
		return owner{}, err
	}

	a.engine.flights.Enter(&a.claim.Key, &a.flight, flight.Recovering, a.result.Record.Fingerprint)

	work := a.startRecovery()

	var timeout <-chan time.Time

	if deadline, ok := a.answerBy(); ok {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()

		timeout = timer.C
	}

	select {
	case <-work.done:
		if !work.ofCall {
			return owner{}, nil // this call's function has its request, so it may find out more
		}

		return work.about, nil
	case <-timeout:
		if next == moveUnknown {
			return owner{}, a.outcomeUnknown(&a.result.Record)
		}

		return owner{}, rejectInProgress("the server is finding out what became of an earlier call with this idempotency key; " +
			"retry with the same key")
	case <-a.caller.Done():
		return owner{}, callerGone(a.caller, "while it waited")
	}
}

// startRecovery starts a recovery of the key, unless one is under way.
func (a *attempt) startRecovery() *recovery {
	seen, _ := recordOf(a.claim.Key, &a.result) // for the function, while the call goes on; a note that cannot be read is left out
	seen.Unknown = true

	return a.engine.startRecovery(a.caller, &seen, recoveryRequest{find: a.call.Recover, most: a.policy.MaxOutcome, ofCall: true})
}

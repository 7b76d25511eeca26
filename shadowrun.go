package onlyonce

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

// shadows counts what is observed in shadow mode.
type shadows struct {
	calls atomic.Int64
	bytes atomic.Int64 // of the answers that are held
}

const (
	shadowLookFirst = 50 * time.Millisecond
	shadowLookMost  = time.Second
	// shadowRenewals is how often a lease is renewed within its length, as in real mode.
	shadowRenewals = 3
)

// would is what real mode would have done with a call.
type would struct {
	status Status
	err    error // a rejection, or why it is not known
}

// observeBeside claims, renews and writes the outcome beside the handler, as real mode does around it.
func (s *Shadow) observeBeside() {
	e := s.engine

	defer e.leave()
	defer e.shadows.calls.Add(-1)

	var found would

	defer func() {
		problem := recover() // a store that panics must not end the process

		<-s.ended
		e.shadows.bytes.Add(-int64(len(s.out.Body)))

		if problem != nil {
			found = would{err: fmt.Errorf("onlyonce: the store panicked in shadow mode: %v", problem)}
		}

		s.report(found)
	}()

	next, failed := s.request()
	if failed != nil {
		found = s.unclaimed(failed.err)

		return
	}

	s.await(next == moveRun)

	switch next {
	case moveRun:
		found = s.settle()
	case moveWait:
		s.about.Waited = true
		found = s.awaitOther()
	case moveReplay, moveRecover, moveReclaim, moveUnknown, moveReused, moveExpired, moveAbandon:
		found = s.answered(next)
	}
}

// request claims the key, as real mode does.
func (s *Shadow) request() (move, *claimError) {
	at := situation{claim: &s.claim, answer: &s.result, window: s.window}

	for {
		if failed := s.sendClaim(time.Now()); failed != nil {
			return 0, failed
		}

		next := at.next()
		if next != moveReclaim {
			return next, nil
		}

		at.reclaims++

		s.expect(&s.result.Record)
	}
}

// await waits until the handler has ended, and renews the lease of an owner meanwhile, for as long as real mode would.
func (s *Shadow) await(owner bool) {
	if !owner {
		<-s.ended

		return
	}

	ticker := time.NewTicker(max(s.policy.Lease/shadowRenewals, minSpan))
	defer ticker.Stop()

	for {
		select {
		case <-s.ended:
			return
		case <-ticker.C:
		}

		if time.Since(s.began) >= s.policy.MaxRun || !s.renew() {
			<-s.ended

			return
		}
	}
}

// renew renews the lease, and reports whether to go on with it.
func (s *Shadow) renew() bool {
	ctx, done := s.engine.storeContext(s.caller)
	defer done()

	res, err := s.engine.store.Renew(ctx, store.Renewal{
		Key: s.claim.Key, Token: s.claim.Token, Lease: s.policy.Lease, Receipt: s.result.Receipt,
	})
	if err == nil && res.Applied {
		s.result = res
	}

	return err != nil || res.Applied
}

// unclaimed is a call whose claim the store has not answered. One release withdraws it. It is not tried in the background: real calls
// need that room.
func (s *Shadow) unclaimed(err error) would {
	if s.unanswered && !s.lookupOnly() {
		ctx, done := s.engine.storeContext(s.caller)
		defer done()

		_, _ = s.engine.store.Release(ctx, store.Release{Claim: s.claim, Receipt: s.result.Receipt})
	}

	rejection := rejectStoreError(err)
	if rejection.Reason == ReasonStoreUnavailable && s.mayFailOpen() {
		return would{status: StatusUnprotected, err: err}
	}

	return refusedWith(rejection)
}

// answered is a call that real mode would have answered without running.
func (s *Shadow) answered(how move) would {
	rec := &s.result.Record

	switch how {
	case moveReplay:
		return s.replayed(rec)
	case moveUnknown:
		return refusedWith(s.outcomeUnknown(rec))
	case moveReused:
		return refusedWith(rejectReused(firstOf(rec, rec.LeaseAlive(s.result.Now))))
	case moveExpired:
		return refusedWith(rejectExpired())
	case moveRun, moveWait, moveRecover, moveReclaim, moveAbandon:
	}

	return refusedWith(rejectInProgress(inProgress))
}

// replayed compares the answer of a duplicate with the recorded one.
func (s *Shadow) replayed(rec *store.Record) would {
	if out, err := outcome.Decode(&s.claim.Key, rec.Outcome); err == nil && out.Kind == outcome.KindShadow {
		s.about.Recorded = out.Code

		if out.Code == shadowCallerGone {
			return would{status: StatusReplayed} // real mode would have an answer by now
		}

		return refusedWith(rejectUnknown(out.Code, rec.EndedAt))
	}

	reply, err := s.answerFrom(rec)
	if err != nil {
		return refusedWith(err)
	}

	s.about.Recorded = reply.Code

	if s.skipped == nil && s.out.Class == ClassDefinite {
		first := min(max(s.out.Room, 0), len(s.out.Body))
		s.about.Compared = true
		s.about.Differs = s.out.Code != reply.Code || !bytes.Equal(s.out.Body[first:], reply.Body)
	} else if s.skipped == nil && !s.about.CallerGone {
		s.about.Compared, s.about.Differs = true, true // an answer was recorded, and this run has none
	}

	return would{status: StatusReplayed}
}

// awaitOther follows the run that the call would have waited for, until the wait would be over.
func (s *Shadow) awaitOther() would {
	s.claim.Fence = lookupOnly
	until := s.began.Add(max(s.policy.MaxWait, 0))

	for pause := shadowLookFirst; ; pause = min(2*pause, shadowLookMost) {
		if failed := s.sendClaim(time.Now()); failed != nil {
			return refusedWith(rejectStoreError(failed.err))
		}

		switch next := decide(&s.claim, &s.result); next {
		case moveWait:
		case moveReclaim, moveRun:
			return would{status: s.ending().status()} // the call would have run after its wait; its own end stands for that run's
		case moveReplay, moveRecover, moveUnknown, moveReused, moveExpired, moveAbandon:
			return s.answered(next)
		}

		if s.policy.MaxWait == NoWait || !time.Now().Before(until) || s.engine.draining.Load() {
			return refusedWith(rejectInProgress(inProgress))
		}

		time.Sleep(min(pause, max(time.Until(until), minSpan)))
	}
}

// ending is what the end of the run depends on.
func (s *Shadow) ending() ending {
	rec := &s.result.Record

	return ending{
		shape: leased, class: s.out.Class, failed: s.out.Err != nil, doubtful: rec.Doubtful,
		takeover: rec.Guarantee.TakeoverAllowed(),
	}
}

// settle writes how the handler has ended.
func (s *Shadow) settle() would {
	end := s.ending()
	wrote := end.writes()

	res, err := s.write(s.operation(&end, wrote))

	switch {
	case s.about.CallerGone:
		return would{status: StatusExecuted, err: err} // in real mode the run would have gone on
	case wrote != writeOutcome:
		return would{status: end.status(), err: err}
	case err != nil:
		return would{status: StatusUnrecorded, err: err}
	case !res.Applied:
		return refusedWith(rejectLeaseLost())
	default:
		return would{status: StatusExecuted}
	}
}

// operation is what is written at the end of the run.
func (s *Shadow) operation(end *ending, wrote writing) func(context.Context) (store.Result, error) {
	records, key := s.engine.store, s.claim.Key

	switch {
	case s.about.CallerGone:
		return s.completing(noteOf(&key, shadowCallerGone), 0)
	case wrote == writeOutcome && s.skipped != nil: // the answer was not held
		return s.completing((&outcome.Stored{Kind: outcome.KindNotStored, Code: s.out.Code}).Encode(&key), 0)
	case wrote == writeOutcome:
		var retention time.Duration
		if !end.doubtful {
			retention = s.policy.outcomeRetention(&s.out, s.own.TimeOrdered)
		}

		return s.completing(outcome.Answer(&key, s.out.Code, s.out.Body, s.out.Room, s.policy.MaxOutcome, nil), retention)
	case wrote == writeHold:
		return s.completing(noteOf(&key, s.out.Code), 0)
	default:
		op := store.Release{Claim: s.claim, Ambiguous: wrote == writeDoubtful, Receipt: s.result.Receipt}

		return func(ctx context.Context) (store.Result, error) { return records.Release(ctx, op) }
	}
}

func (s *Shadow) completing(out []byte, retention time.Duration) func(context.Context) (store.Result, error) {
	op := store.Completion{Key: s.claim.Key, Token: s.claim.Token, Outcome: out, Retention: retention, Receipt: s.result.Receipt}

	return func(ctx context.Context) (store.Result, error) { return s.engine.store.Complete(ctx, op) }
}

// write sends an operation a few times. If the store acknowledges none, [Engine.ListShadow] yields the record later.
func (s *Shadow) write(send func(context.Context) (store.Result, error)) (res store.Result, err error) {
	for try := 1; ; try++ {
		ctx, done := s.engine.storeContext(s.caller)
		res, err = send(ctx)

		done()

		if err == nil || try == claimTries {
			return res, err
		}

		time.Sleep(jittered(claimRetryDelay << try))
	}
}

// unobserved is what real mode would have done with a call that has made no record.
func (s *Shadow) unobserved() would {
	switch {
	case s.refused != nil:
		return refusedWith(s.refused)
	case s.skipped != nil:
		return would{err: s.skipped}
	default:
		return would{status: StatusUnprotected} // it has no key
	}
}

func refusedWith(err error) would { return would{status: StatusRejected, err: err} }

// report gives the observer the EventShadow.
func (s *Shadow) report(found would) {
	event := Event{
		Kind: EventShadow, ID: s.claim.Key, Method: s.own.Method, Status: found.status, Err: found.err,
		Total: time.Since(s.began), Run: s.took, Shadow: &s.about,
	}

	if (KeyRules{}).Check(s.own.Key) == nil {
		event.Key = s.own.Key
	}

	if found.status == StatusRejected {
		event.refuse(found.err)
	}

	s.engine.observe(s.caller, event)
}

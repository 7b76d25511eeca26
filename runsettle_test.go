package onlyonce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF08StoreDownAtCompletionLeavesTheRecordClaimedUntilTheStoreHeals(t *testing.T) {
	t.Parallel()

	for _, g := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				s := newFaultStore()
				e := newEngine(t, s, withGuarantee(g), onlyonce.WithObserver(seen))
				s.broken(lostRequest, opComplete)

				var p payments

				began := time.Now()
				do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusUnrecorded, "#1")

				if took := time.Since(began); took < 8*time.Second || took > 10*time.Second {
					t.Errorf("the caller was kept for %v, want a little less than 10s", took)
				}

				mustBeState(t, e, store.Running)
				seen.mustHave(t, onlyonce.EventSettleFailed, 1)

				if e.Pending() != 1 {
					t.Errorf("%d settlements are pending, want 1", e.Pending())
				}

				s.broken(nil, opComplete)
				time.Sleep(5 * time.Second)
				mustBeState(t, e, store.Completed)
				seen.mustHave(t, onlyonce.EventPendingSettled, 1)

				do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
				p.mustHaveRun(t, 1)

				if e.Pending() != 0 {
					t.Errorf("%d settlements are pending, want none", e.Pending())
				}
			})
		})
	}
}

func TestF08DuplicatesOfAnUnrecordedRunGetARetryableErrorAndThenItsAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: time.Minute}))
		s.broken(lostRequest, opComplete)

		var p payments

		owner := inBackground(t.Context(), e, pay("k"), p.lasting(time.Second))

		synctest.Wait()

		duplicate := inBackground(t.Context(), e, pay("k"), p.do)

		(<-owner).mustBe(t, onlyonce.StatusUnrecorded, "#1")
		(<-duplicate).mustBeRejected(t, onlyonce.ReasonInProgress)

		later := inBackground(t.Context(), e, pay("k"), p.do)

		time.Sleep(time.Second)
		s.broken(nil, opComplete)
		(<-later).mustBe(t, onlyonce.StatusReplayed, "#1")
		p.mustHaveRun(t, 1)
	})
}

func TestF08CompletionIsRetriedDuringAShortOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opComplete, lostRequest, hanging, lostReply)

		var p payments

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		p.mustHaveRun(t, 1)
	})
}

// The lease of a run ends while its outcome waits for the store. The engine must not run hot over it: in fake time this
// test would not end.
func TestF08LeaseThatEndsWhileTheOutcomeIsWrittenCostsNoProcessor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(seen))
		s.broken(lostRequest, opRenew, opComplete)

		var p payments

		got := inBackground(t.Context(), e, pay("k"), p.lasting(10*time.Second))

		time.Sleep(17 * time.Second)
		s.broken(nil, opRenew, opComplete)
		(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

// The completion has arrived and its reply is lost. A renewal meanwhile finds a completed record, which is no reason to
// renew again and again.
func TestF11RenewalDuringALostCompletionReplyDoesNotFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(seen))
		s.broken(lostReply, opComplete)

		var p payments

		got := inBackground(t.Context(), e, pay("k"), p.lasting(4*time.Second))

		time.Sleep(12 * time.Second)
		s.broken(nil, opComplete)
		(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
		seen.mustHave(t, onlyonce.EventLeaseLost, 0)

		if n := s.count(opRenew); n > 2 {
			t.Errorf("%d renewals were sent for a record that needs none", n)
		}
	})
}

func TestF11LostCompletionReplyIsRecognisedAsOwnWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(seen))
		s.next(opComplete, lostReply)

		var p payments

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		p.mustHaveRun(t, 1)
		seen.mustHave(t, onlyonce.EventLeaseLost, 0)
	})
}

func TestF11LateCopyOfACompletionChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opComplete, late(time.Hour))

		var p payments

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

		ended := record(t, e, "k").EndedAt

		time.Sleep(2 * time.Hour)

		if rec := record(t, e, "k"); rec.State != store.Completed || !rec.EndedAt.Equal(ended) {
			t.Errorf("the late copy has changed the record: %+v", rec)
		}
	})
}

func TestF08FailedReleaseAndHoldAreTriedAgainInTheBackground(t *testing.T) {
	t.Parallel()

	notExecuted := onlyonce.NotExecuted(errLine)

	for name, tt := range map[string]struct {
		guarantee onlyonce.Guarantee
		err       error
		op        operation
		status    onlyonce.Status
		state     store.State
	}{
		"not executed, released":          {onlyonce.AtMostOnce, notExecuted, opRelease, onlyonce.StatusReleased, store.Released},
		"not executed, at least once too": {onlyonce.AtLeastOnce, notExecuted, opRelease, onlyonce.StatusReleased, store.Released},
		"ambiguous, held":                 {onlyonce.AtMostOnce, errLine, opHold, onlyonce.StatusUnknown, store.Unknown},
		"ambiguous, released":             {onlyonce.AtLeastOnce, errLine, opRelease, onlyonce.StatusUnknown, store.Released},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, withGuarantee(tt.guarantee))
				s.next(tt.op, lostRequest, hanging)

				var p payments

				began := time.Now()
				do(t, e, pay("k"), p.failing(tt.err)).mustFail(t, tt.status, errLine)

				if took := time.Since(began); took != 0 {
					t.Errorf("the caller was kept for %v although it has its answer", took)
				}

				mustBeState(t, e, store.Running)
				time.Sleep(5 * time.Second)
				mustBeState(t, e, tt.state)

				if e.Pending() != 0 {
					t.Errorf("%d settlements are pending, want none", e.Pending())
				}
			})
		})
	}
}

package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF54ClaimWhoseRepliesAreAllLostIsReleasedInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(seen))
		s.broken(lostReply, opClaim)
		s.next(opRelease, lostRequest, lostReply, hanging)

		var p payments

		do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		mustBeState(t, e, store.Running)
		seen.mustHave(t, onlyonce.EventClaimWithdrawn, 1)

		// The retry arrives before the release, and waits for it.
		s.broken(nil, opClaim)

		got := do(t, e, pay("k"), p.do)
		got.mustBe(t, onlyonce.StatusExecuted, "#1")
		p.mustHaveRun(t, 1)

		time.Sleep(time.Minute)
		seen.mustHave(t, onlyonce.EventPendingSettled, 1)
		mustBeState(t, e, store.Completed)

		if e.Pending() != 0 {
			t.Errorf("%d settlements are pending, want none", e.Pending())
		}
	})
}

func TestF54ClaimThatLandsAfterItsReleaseLoses(t *testing.T) {
	t.Parallel()

	for name, retry := range map[string]bool{"with a retry before": true, "without a retry": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s)
				s.next(opClaim, late(time.Hour), late(2*time.Hour), late(3*time.Hour))

				var p payments

				do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
				time.Sleep(time.Minute)
				mustBeState(t, e, store.Released)

				if retry {
					do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
				}

				time.Sleep(4 * time.Hour)

				if rec := record(t, e, "k"); rec.State == store.Running {
					t.Errorf("a late claim has won: %+v", rec)
				}

				want := onlyonce.StatusExecuted
				if retry {
					want = onlyonce.StatusReplayed
				}

				do(t, e, pay("k"), p.do).mustBe(t, want, "#1")
				p.mustHaveRun(t, 1)
			})
		})
	}
}

// The withdrawn claim expects the fence of a released record, so its release must raise that fence.
func TestF54SecondClaimThatLandsAfterItsReleaseLoses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		do(t, e, pay("k"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)
		s.next(opClaim, nil, late(time.Hour), late(2*time.Hour), late(3*time.Hour))
		do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)

		time.Sleep(4 * time.Hour)
		mustBeState(t, e, store.Released)
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

// The answer to the second copy of a claim proves nothing about the first copy, which may still arrive.
func TestF54ClaimThatMayStillArriveIsReleasedWhateverTheAnswerIs(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		before error
		check  func(*testing.T, answer)
	}{
		"replay":  {nil, func(t *testing.T, a answer) { t.Helper(); a.mustBe(t, onlyonce.StatusReplayed, "") }},
		"unknown": {errLine, func(t *testing.T, a answer) { t.Helper(); a.mustBeRejected(t, onlyonce.ReasonOutcomeUnknown) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				s := newFaultStore()
				e := newEngine(t, s, onlyonce.WithObserver(seen))

				_, _ = e.Do(t.Context(), pay("k"), new(payments).failing(tt.before))

				s.next(opClaim, lostRequest)
				tt.check(t, do(t, e, pay("k"), new(payments).do))
				synctest.Wait()
				seen.mustHave(t, onlyonce.EventClaimWithdrawn, 1)
				seen.mustHave(t, onlyonce.EventPendingSettled, 1)
			})
		})
	}
}

func TestF54CallerWhoLeavesDuringTheClaimReleasesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opClaim, func(ctx context.Context, deliver deliver) (store.Result, error) {
			_, _ = deliver(ctx)

			return hanging(ctx, nil)
		})

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		var p payments

		got := <-inBackground(ctx, e, pay("k"), p.do)
		got.mustFail(t, onlyonce.StatusRejected, context.DeadlineExceeded)

		if outcome := onlyonce.VerdictOf(got.err); outcome != onlyonce.VerdictUnknown {
			t.Errorf("VerdictOf = %v, want unknown", outcome)
		}

		synctest.Wait()
		mustBeState(t, e, store.Released)
		p.mustHaveRun(t, 0)
	})
}

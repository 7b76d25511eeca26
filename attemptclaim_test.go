package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF09LostClaimReplyRunsOnce(t *testing.T) {
	t.Parallel()

	for _, lost := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			seen := new(journal)
			s := newFaultStore()
			e := newEngine(t, s, onlyonce.WithObserver(seen))

			for range lost {
				s.next(opClaim, lostReply)
			}

			var p payments

			began := time.Now()
			do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

			if took := time.Since(began); took > time.Second {
				t.Errorf("the call has waited %v for its own claim", took)
			}

			do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
			p.mustHaveRun(t, 1)
			seen.mustHave(t, onlyonce.EventClaimWithdrawn, 0)

			if n := s.count(opRelease); n != 0 {
				t.Errorf("%d releases of a claim that has won", n)
			}
		})
	}
}

// The reply arrives after the lease of the claim has ended. The engine's own claim revives the record and raises its
// fence, and the handler sees that fence.
func TestF09LostClaimReplyAfterTheLeaseRunsOnceWithAHigherFence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Lease: time.Second}))
		s.next(opClaim, func(ctx context.Context, deliver deliver) (store.Result, error) {
			_, _ = deliver(ctx)

			return hanging(ctx, nil)
		})

		var run onlyonce.Run

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			run, _ = onlyonce.RunFromContext(ctx)

			return nil, nil
		}).mustBe(t, onlyonce.StatusExecuted, "")

		if run.Fence != 2 || run.Attempt != 1 {
			t.Errorf("the run is %+v, want fence 2 and attempt 1", run)
		}
	})
}

func TestF10LostClaimRequestRunsOnce(t *testing.T) {
	t.Parallel()

	for _, lost := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			s := newFaultStore()
			e := newEngine(t, s)

			for range lost {
				s.next(opClaim, lostRequest)
			}

			var p payments

			do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
			do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
			p.mustHaveRun(t, 1)
		})
	}
}

func TestF10LateCopyOfTheClaimOfAFinishedRunChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opClaim, late(time.Hour))

		var p payments

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		time.Sleep(2 * time.Hour)
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		p.mustHaveRun(t, 1)
	})
}

package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func since(began time.Time, times []time.Time) []time.Duration {
	after := make([]time.Duration, len(times))
	for i, at := range times {
		after[i] = at.Sub(began)
	}

	return after
}

func mustBeAt(t *testing.T, began time.Time, got []time.Time, want ...time.Duration) {
	t.Helper()

	after := since(began, got)
	if len(after) != len(want) {
		t.Errorf("renewals after %v, want %v", after, want)

		return
	}

	for i := range want {
		if after[i] != want[i] {
			t.Errorf("renewals after %v, want %v", after, want)

			return
		}
	}
}

func TestLeaseIsRenewedAtAThirdOfItsLength(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		began := time.Now()
		do(t, e, pay("k"), p.lasting(22*time.Second)).mustBe(t, onlyonce.StatusExecuted, "#1")
		mustBeAt(t, began, s.times(opRenew), 5*time.Second, 10*time.Second, 15*time.Second, 20*time.Second)

		time.Sleep(time.Minute)

		if n := s.count(opRenew); n != 4 {
			t.Errorf("%d renewals, some of them after the end of the run", n)
		}
	})
}

func TestShortRunIsNotRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		do(t, e, pay("k"), p.lasting(4*time.Second)).mustBe(t, onlyonce.StatusExecuted, "#1")

		if n := s.count(opRenew); n != 0 {
			t.Errorf("%d renewals, want none", n)
		}
	})
}

func TestFailedRenewalIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce), onlyonce.WithObserver(seen))
		s.next(opRenew, lostRequest, lostReply, nil)

		var p payments

		began := time.Now()
		do(t, e, pay("k"), p.cancellable(13*time.Second)).mustBe(t, onlyonce.StatusExecuted, "#1")
		mustBeAt(t, began, s.times(opRenew), 5*time.Second, 6*time.Second, 7*time.Second, 12*time.Second)
		seen.mustHave(t, onlyonce.EventRenewFailed, 2)
		seen.mustHave(t, onlyonce.EventLeaseLost, 0)
	})
}

// The lease counts from when a renewal was sent, because the store may have decided it at that moment.
func TestRenewedLeaseCountsFromWhenTheRenewalWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce))
		s.next(opRenew, func(ctx context.Context, deliver deliver) (store.Result, error) {
			res, err := deliver(ctx)
			time.Sleep(1900 * time.Millisecond) // a slow answer

			return res, err
		})
		s.broken(lostRequest, opRenew)

		began := time.Now()
		got := do(t, e, pay("k"), new(payments).cancellable(time.Minute))
		got.mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrLeaseLost)

		if ended := got.at.Sub(began); ended != 5*time.Second+13500*time.Millisecond {
			t.Errorf("the run was ended after %v, want nine tenths of a lease after the renewal of 5s", ended)
		}
	})
}

// The lease counts from when the claim was sent for the first time, because that copy may have arrived.
func TestFirstLeaseCountsFromWhenTheClaimWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce))
		s.next(opClaim, func(ctx context.Context, deliver deliver) (store.Result, error) {
			_, _ = deliver(ctx)

			return hanging(ctx, nil)
		})
		s.broken(lostRequest, opRenew)

		began := time.Now()
		got := do(t, e, pay("k"), new(payments).cancellable(time.Minute))
		got.mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrLeaseLost)

		if ended := got.at.Sub(began); ended != 13500*time.Millisecond {
			t.Errorf("the run was ended after %v, want 13.5s after its claim was sent", ended)
		}
	})
}

func TestF07RunUnderAtLeastOnceEndsBeforeItsLeaseCanHaveEnded(t *testing.T) {
	t.Parallel()

	for name, down := range map[string]fault{"refusing": lostRequest, "hanging": hanging, "hanging for ever": slow(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce))
				s.next(opRenew, nil)
				s.broken(down, opRenew)

				began := time.Now()

				var ended time.Time

				do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					<-ctx.Done()

					ended = time.Now()

					if rec := record(t, e, "k"); !rec.LeaseAlive(ended) { //nolint:contextcheck // the test reads the record
						t.Error("the lease has ended before the run was told")
					}

					return nil, context.Cause(ctx)
				}).mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrLeaseLost)

				if ended.Sub(began) != 18500*time.Millisecond {
					t.Errorf("the run was ended after %v, want 18.5s", ended.Sub(began))
				}
			})
		})
	}
}

func TestF07RunUnderAtMostOnceGoesOnAndIsRecordedWhenTheStoreIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(seen))
		s.broken(lostRequest, opRenew)

		var p payments

		var fences []uint64

		got := inBackground(t.Context(), e, pay("k"), func(ctx context.Context) ([]byte, error) {
			for range 2 {
				run, _ := onlyonce.RunFromContext(ctx)
				fences = append(fences, run.Fence)

				time.Sleep(12 * time.Second)
			}

			if ctx.Err() != nil {
				t.Errorf("the run was cancelled: %v", context.Cause(ctx))
			}

			run, _ := onlyonce.RunFromContext(ctx)
			fences = append(fences, run.Fence)

			return p.do(ctx)
		})

		time.Sleep(20 * time.Second)

		if rec := record(t, e, "k"); !rec.Unknown {
			t.Errorf("the outcome is not unknown after the lease: %+v", rec)
		}

		s.broken(nil, opRenew)
		time.Sleep(3 * time.Second)

		if rec := record(t, e, "k"); rec.Unknown || rec.Fence != 2 {
			t.Errorf("the renewal has not revived the lease with a higher fence: %+v", rec)
		}

		(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		seen.mustHave(t, onlyonce.EventLeaseLost, 1)

		if len(fences) != 3 || fences[0] != 1 || fences[1] != 1 || fences[2] != 2 {
			t.Errorf("the handler saw the fences %v, want 1 1 2", fences)
		}
	})
}

// The handler may go on although its context has ended. No other engine takes over before the handler returns.
func TestRunWhoseContextHasEndedKeepsItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := onlyonce.WithPolicy(onlyonce.Policy{
			Guarantee: onlyonce.AtLeastOnce, Detachment: onlyonce.Attached, MaxRun: time.Minute, MaxWait: onlyonce.NoWait,
		})
		records := memstore.New()
		own, other := newEngine(t, records, policy), newEngine(t, records, policy)

		var p payments

		ctx, leave := context.WithCancel(t.Context())
		got := inBackground(ctx, own, pay("k"), p.lasting(50*time.Second))

		time.Sleep(time.Second)
		leave()
		time.Sleep(40 * time.Second)

		do(t, other, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonInProgress)
		(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestRunThatEndsDuringARenewalCutsItShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: time.Hour}))
		s.broken(hanging, opRenew)

		var p payments

		began := time.Now()
		do(t, e, pay("k"), p.lasting(6*time.Second)).mustBe(t, onlyonce.StatusExecuted, "#1")

		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("the call took %v, want 6s", took)
		}
	})
}

package onlyonce_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF06StoreDownBeforeTheClaimRunsNothing(t *testing.T) {
	t.Parallel()

	for name, down := range map[string]fault{"refusing": lostRequest, "hanging": hanging} {
		for _, g := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
			t.Run(name+" "+g.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newFaultStore()
					e := newEngine(t, s, withGuarantee(g))
					s.broken(down, everyOperation()...)

					var p payments

					began := time.Now()
					rejection := do(t, e, pay("k"), p.do).rejection(t, onlyonce.ReasonStoreUnavailable)

					if took := time.Since(began); took > 7*time.Second {
						t.Errorf("the rejection took %v, more than three timeouts of the store", took)
					}

					if rejection.RetryAfter < 500*time.Millisecond || rejection.RetryAfter > 1500*time.Millisecond {
						t.Errorf("RetryAfter = %v, want a second, jittered by half", rejection.RetryAfter)
					}

					if rejection.Cause == nil {
						t.Error("the rejection hides its cause from the operator")
					}

					if n := s.count(opClaim); n != 3 {
						t.Errorf("%d claims were sent, want 3 tries", n)
					}

					s.broken(nil, everyOperation()...)
					time.Sleep(10 * time.Second)
					do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
					p.mustHaveRun(t, 1)
				})
			})
		}
	}
}

// Duplicates that are rejected together must not retry together.
func TestF06DuplicatesOfARejectedCallAreRejectedWithDelaysOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.broken(hanging, opClaim)

		calls := make([]<-chan answer, 20)
		for i := range calls {
			calls[i] = inBackground(t.Context(), e, pay("k"), new(payments).do)
		}

		delays := make(map[time.Duration]bool)
		for _, call := range calls {
			delays[(<-call).rejection(t, onlyonce.ReasonStoreUnavailable).RetryAfter] = true
		}

		if len(delays) < len(calls)/2 {
			t.Errorf("%d calls were rejected with %d different delays", len(calls), len(delays))
		}

		if n := s.count(opClaim); n != 3 {
			t.Errorf("%d claims were sent for all of them, want 3 tries", n)
		}

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

func TestF06FailOpenRunsUnprotectedAndReportsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(seen),
			onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))
		s.broken(lostRequest, everyOperation()...)

		var run onlyonce.Run

		got := do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			run, _ = onlyonce.RunFromContext(ctx)

			return []byte("paid"), nil
		})

		got.mustBe(t, onlyonce.StatusUnprotected, "paid")

		if run.Fence != 0 || run.Attempt != 1 || run.Protected || run.Key != "k" || run.Guarantee != onlyonce.AtLeastOnce {
			t.Errorf("the unprotected run is %+v, want no fence and no protection", run)
		}

		if calls := seen.of(onlyonce.EventCall); len(calls) != 1 || calls[0].Status != onlyonce.StatusUnprotected {
			t.Errorf("events of the call: %+v", calls)
		}

		var p payments

		failed := do(t, e, pay("k2"), p.failing(onlyonce.Final(errLine)))
		failed.mustFail(t, onlyonce.StatusUnprotected, errLine)

		if got := onlyonce.VerdictOf(failed.err); got != onlyonce.VerdictUnknown {
			t.Errorf("VerdictOf = %v: nothing was recorded, so nothing is final", got)
		}

		s.broken(nil, everyOperation()...)

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

func TestF06FailOpenDoesNotCoverAFullStoreOrADamagedRecord(t *testing.T) {
	t.Parallel()

	for reason, err := range map[onlyonce.Reason]error{
		onlyonce.ReasonStoreFull:        store.ErrFull,
		onlyonce.ReasonRecordUnreadable: store.ErrUnreadable,
		onlyonce.ReasonRecordNewer:      store.ErrNewer,
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()

			s := newFaultStore()
			e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))
			s.broken(failing(err), opClaim)

			var p payments

			if rejection := do(t, e, pay("k"), p.do).rejection(t, reason); !errors.Is(rejection, err) {
				t.Errorf("%v does not wrap %v", rejection, err)
			}

			p.mustHaveRun(t, 0)

			if n := s.count(opClaim); n != 1 {
				t.Errorf("%d claims were sent, want 1: trying again is of no use", n)
			}

			if n := e.Pending(); n != 0 {
				t.Errorf("%d settlements are pending for a claim that has not arrived", n)
			}
		})
	}
}

func TestF06DuplicatesOfAnUnprotectedRunWaitNoLongerThanTheyMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{
			Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen, MaxWait: 2 * time.Second,
		}))
		s.broken(lostRequest, everyOperation()...)

		var p payments

		running := inBackground(t.Context(), e, pay("k"), p.lasting(10*time.Second))

		time.Sleep(time.Second)

		began := time.Now()
		do(t, e, payOther("k"), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)
		do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonInProgress)

		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the duplicate waited for %v, want 2s", took)
		}

		(<-running).mustBe(t, onlyonce.StatusUnprotected, "#1")
		s.broken(nil, everyOperation()...)

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

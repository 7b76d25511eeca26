package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

func TestWaitTakesOverAsSoonAsTheLeaseEnds(t *testing.T) {
	t.Parallel()

	for name, wrap := range waitingStores() {
		// The longer lease takes more polls than a call has tries to claim a key that others take first.
		for _, lease := range []time.Duration{3 * time.Second, 50 * time.Second} {
			t.Run(name+" "+lease.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newFaultStore()
					seen := new(journal)
					e := newEngine(t, wrap(t, s), onlyonce.WithObserver(seen),
						onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxWait: time.Minute}))
					crashed(t, s.mem, "k", onlyonce.AtLeastOnce, lease)

					var (
						p   payments
						run onlyonce.Run
					)

					began := time.Now()

					do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
						if waited := time.Since(began); waited < lease || waited > lease+2*time.Millisecond {
							t.Errorf("the takeover came after %v, the lease ended after %v", waited, lease)
						}

						run, _ = onlyonce.RunFromContext(ctx)

						return p.do(ctx)
					}).mustBe(t, onlyonce.StatusExecuted, "#1")

					if run.Fence != 2 || run.Attempt != 2 {
						t.Errorf("the run is %+v, want fence 2 and attempt 2", run)
					}

					seen.mustHave(t, onlyonce.EventTakeover, 1)

					if n := e.Seats(); n != 0 {
						t.Errorf("%d seats are taken although nobody waits", n)
					}
				})
			})
		}
	}
}

func TestWaiterWhoTakesOverHasGivenItsSeatBackBeforeItRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce))
		crashed(t, s.mem, "k", onlyonce.AtLeastOnce, time.Second)

		do(t, e, pay("k"), func(context.Context) ([]byte, error) {
			if n := e.Seats(); n != 0 {
				t.Errorf("%d seats are taken by a run", n)
			}

			return nil, nil
		}).mustBe(t, onlyonce.StatusExecuted, "")
	})
}

func TestWaitUnderAtMostOnceEndsUnknownWhenTheLeaseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		crashed(t, s.mem, "k", onlyonce.AtMostOnce, 3*time.Second)

		var p payments

		began := time.Now()
		do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)

		if took := time.Since(began); took < 3*time.Second || took > 3002*time.Millisecond {
			t.Errorf("the wait took %v, want the 3s of the lease", took)
		}

		p.mustHaveRun(t, 0)
	})
}

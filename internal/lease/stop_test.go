package lease_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/lease"
)

func TestStopCutsARenewalShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, hanging)

		time.Sleep(6 * time.Second)
		o.Stop()

		if took := time.Since(o.began); took != 6*time.Second {
			t.Errorf("Stop returned after %v, want 6s", took)
		}

		time.Sleep(time.Hour)
		o.mustHaveRenewed(t, 5*time.Second)
		o.mustHaveFailed(t)
		o.mustHaveLost(t)
		o.mustGoOn(t)
	})
}

func TestStopWaitsForARenewalThatCannotBeCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, slow(10*time.Second, taken))

		time.Sleep(6 * time.Second)
		o.Stop()

		if took := time.Since(o.began); took != 15*time.Second {
			t.Errorf("Stop returned after %v, want 15s", took)
		}

		o.mustHaveLost(t)
		o.mustGoOn(t)
	})
}

func TestStopWaitsForAReport(t *testing.T) {
	t.Parallel()

	for name, report := range map[string]func(*owner){
		"of the renewal's": func(*owner) {}, "of the owner's": (*owner).Lose, "of an overtaken owner": (*owner).Overtaken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := startReporting(t, true, broken)

				time.Sleep(4 * time.Second)
				go report(o)
				time.Sleep(2 * time.Second)
				o.Stop()
				o.Stop()

				if took := time.Since(o.began); took < time.Minute {
					t.Errorf("Stop returned after %v, before the report did", took)
				}
			})
		})
	}
}

func TestStoppedLeaseReportsALossOnceAndEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, broken)
		o.Stop()
		o.Overtaken()
		o.mustHaveLost(t)

		o.Lose()
		o.Lose()
		o.mustHaveLost(t, 0)
		o.Stop()
		time.Sleep(time.Hour)
		o.mustGoOn(t)
		o.mustHaveRenewed(t)
	})
}

func TestLeaseThatHasNotStartedDoesNothing(t *testing.T) {
	t.Parallel()

	var l lease.Lease

	l.Settling()
	l.Hold()
	l.Overtaken()
	l.Lose()
	_ = l.AuthorityEnd()
	l.Stop()
}

// For the race detector: an owner, its handler and an observer do everything at once.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()

	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			o := start(t, false, broken, slow(time.Second, renewed), hanging, renewed, settled)

			var wg sync.WaitGroup

			for _, do := range []func(){
				o.Lose, o.Hold, o.Settling, o.Overtaken, func() { _ = o.AuthorityEnd() }, o.Stop, o.Stop,
			} {
				wg.Go(func() {
					time.Sleep(5 * time.Second)
					do()
				})
			}

			wg.Wait()
		})
	}
}

func TestRenewalHasTheValuesOfItsRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}

		seen := make(chan any, 1)
		o := &owner{began: time.Now(), next: []renewal{func(ctx context.Context) (lease.Answer, error) {
			seen <- ctx.Value(key{})

			return lease.Settled, nil
		}}}

		o.Start(context.WithValue(t.Context(), key{}, "trace"), new(lease.Keeper), o, lease.Terms{
			Length: length, Anchor: o.began, RunEnd: o.began.Add(time.Hour),
		})
		defer o.Stop()

		if got := <-seen; got != "trace" {
			t.Errorf("the renewal's context has the value %v", got)
		}
	})
}

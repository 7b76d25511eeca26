package onlyonce_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Another owner may die while the call waits. The recovery function has not been called about that owner.
func TestF66RecoveryFunctionRunsForEachOwner(t *testing.T) {
	t.Parallel()

	for _, g := range []onlyonce.Guarantee{onlyonce.AtLeastOnce, onlyonce.AtMostOnce} {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New()
				dead := crashed(t, s, "k", onlyonce.AtLeastOnce, onlyonce.DefaultLease)

				time.Sleep(onlyonce.DefaultLease)

				var (
					p      payments
					fences []uint64
				)

				call := pay("k")
				call.Policy = &onlyonce.Policy{MaxWait: time.Minute}
				call.Recover = func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
					fences = append(fences, rec.Fence)

					// While the recovery of the first owner runs, another owner takes over the key and dies as well.
					if len(fences) == 1 {
						again := dead
						again.Token, again.Fence, again.Guarantee = store.Token{7}, rec.Fence, onlyonce.AtLeastOnce
						again.Lease = 2 * time.Second

						if res, err := s.Claim(ctx, again); err != nil || !res.Applied {
							t.Errorf("Claim = %+v, %v", res, err)
						}
					}

					return onlyonce.StillUnknown(), nil
				}

				got := do(t, newEngine(t, s, withGuarantee(g)), call, p.do)
				if g == onlyonce.AtLeastOnce {
					got.mustBe(t, onlyonce.StatusExecuted, "#1")
				} else {
					got.mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
				}

				if !slices.Equal(fences, []uint64{1, 2}) {
					t.Errorf("asked about the owners with fences %d, want each of the two once", fences)
				}
			})
		})
	}
}

// The recovery of one owner is under way when another owner is found dead. The finding is only about the first owner.
func TestF66RecoveryInProgressAnswersForItsOwnOwnerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		dead := crashed(t, s, "k", onlyonce.AtLeastOnce, onlyonce.DefaultLease)

		time.Sleep(onlyonce.DefaultLease)

		var (
			p      payments
			mu     sync.Mutex
			fences []uint64
		)

		e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce), onlyonce.WithLimits(onlyonce.Limits{RecoverTimeout: time.Minute}))
		call := pay("k")
		call.Recover = func(_ context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
			mu.Lock()
			fences = append(fences, rec.Fence)
			mu.Unlock()

			time.Sleep(10 * time.Second)

			return onlyonce.StillUnknown(), nil
		}

		leaving, cancel := context.WithCancel(t.Context())
		first := inBackground(leaving, e, call, p.do)

		synctest.Wait()
		cancel() // the function goes on without its caller
		<-first

		again := dead
		again.Token, again.Fence, again.Lease = store.Token{7}, 1, time.Second

		if res, err := s.Claim(t.Context(), again); err != nil || !res.Applied {
			t.Errorf("Claim = %+v, %v", res, err)
		}

		time.Sleep(time.Second)
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

		if !slices.Equal(fences, []uint64{1, 2}) {
			t.Errorf("asked about the owners with fences %d, want each of the two once", fences)
		}
	})
}

// The function hangs for one owner while the next owner dies: calls do not wait for it again and again.
func TestF66FunctionThatHangsDoesNotKeepCallsFromTheNextOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		claim := crashed(t, s, "k", onlyonce.AtMostOnce, 15*time.Second)

		time.Sleep(16 * time.Second)

		hang := make(chan struct{})
		call := pay("k")
		call.Recover = func(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
			<-hang

			return onlyonce.StillUnknown(), nil
		}

		var p payments
		do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown) // after RecoverTimeout

		// the owner wakes up, renews once and stalls again
		if res, err := s.Renew(t.Context(), store.Renewal{Key: claim.Key, Token: claim.Token, Lease: claim.Lease}); err != nil || !res.Applied {
			t.Fatalf("%+v %v", res, err)
		}

		time.Sleep(16 * time.Second)

		before := s.count(opClaim)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()

		<-inBackground(ctx, e, call, p.do)

		if n := s.count(opClaim) - before; n > 100 {
			t.Errorf("%d claims of one call", n)
		}

		close(hang)
		synctest.Wait()
	})
}

// After a record is forgotten, its fences begin again.
func TestF66RecoveryFunctionRunsForAnOwnerAfterAForgetting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		policy := onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxWait: time.Hour})
		e := newEngine(t, s, policy)
		crashed(t, s, "k", onlyonce.AtLeastOnce, 15*time.Second)
		time.Sleep(16 * time.Second)

		asked := 0
		call := pay("k")
		// Meanwhile an operator forgets the record, and another process claims the key and dies.
		forget := func() {
			if err := e.ForceForget(t.Context(), record(t, e, "k"), "test"); err != nil {
				t.Error(err)
			}

			crashed(t, s, "k", onlyonce.AtLeastOnce, 15*time.Second)
		}

		call.Recover = func(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
			asked++
			if asked == 1 {
				forget()
			}

			return onlyonce.StillUnknown(), nil
		}

		var p payments
		_ = do(t, e, call, p.do)

		if asked != 2 {
			t.Errorf("asked %d times, want 2: the handler ran %d times", asked, p.runs.Load())
		}
	})
}

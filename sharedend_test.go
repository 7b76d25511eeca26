package onlyonce_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

func TestWaitersOfTheProcessShareTheErrorOfAReleasedRun(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		guarantee onlyonce.Guarantee
		err       error
		status    onlyonce.Status
		outcome   onlyonce.Verdict
	}{
		"not executed": {onlyonce.AtMostOnce, onlyonce.NotExecuted(errLine), onlyonce.StatusReleased, onlyonce.VerdictNotExecuted},
		"ambiguous":    {onlyonce.AtLeastOnce, errLine, onlyonce.StatusUnknown, onlyonce.VerdictUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, withGuarantee(tt.guarantee))

				var p payments

				fail := func(ctx context.Context) ([]byte, error) {
					time.Sleep(time.Second)

					return p.failing(tt.err)(ctx)
				}

				waiters := make([]<-chan answer, 50)
				for i := range waiters {
					waiters[i] = inBackground(t.Context(), e, pay("k"), fail)
				}

				for _, waiter := range waiters {
					got := <-waiter
					got.mustFail(t, tt.status, errLine)

					if outcome := onlyonce.VerdictOf(got.err); outcome != tt.outcome {
						t.Errorf("VerdictOf = %v, want %v", outcome, tt.outcome)
					}

					if _, marked := onlyonce.MarkedClass(got.err); marked {
						t.Errorf("the error %#v still has its mark", got.err)
					}
				}

				p.mustHaveRun(t, 1)

				if n := s.count(opClaim); n != 1 {
					t.Errorf("%d claims were sent, want 1", n)
				}

				do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
			})
		})
	}
}

func TestWaitersOfAHeldRunAreRejectedAsOutcomeUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		owner := inBackground(t.Context(), e, pay("k"), func(ctx context.Context) ([]byte, error) {
			time.Sleep(time.Second)

			return p.failing(errLine)(ctx)
		})

		synctest.Wait()

		rejection := do(t, e, pay("k"), p.do).rejection(t, onlyonce.ReasonOutcomeUnknown)
		if rejection.Metadata["original_code"] != "ERROR" || rejection.Metadata["since"] == "" {
			t.Errorf("the metadata %v does not say what is known", rejection.Metadata)
		}

		(<-owner).mustFail(t, onlyonce.StatusUnknown, errLine)
		p.mustHaveRun(t, 1)

		if n := s.count(opClaim); n != 1 {
			t.Errorf("%d claims were sent, want 1", n)
		}
	})
}

func TestFollowersGoOnWaitingWhenTheirLeaderLeaves(t *testing.T) {
	t.Parallel()

	for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"its deadline is near": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 2*time.Second)
		},
		"it cancels": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(2*time.Second, cancel)

			return ctx, cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, second, first := twoEngines(t, onlyonce.Policy{})

				var p payments

				running := inBackground(t.Context(), first, pay("k"), p.lasting(6*time.Second))

				synctest.Wait()

				ctx, cancel := leave(t.Context())
				defer cancel()

				leader := inBackground(ctx, second, pay("k"), p.do)

				synctest.Wait()

				followers := make([]<-chan answer, 20)
				for i := range followers {
					followers[i] = inBackground(t.Context(), second, pay("k"), p.do)
				}

				if got := <-leader; !errors.Is(got.err, onlyonce.ReasonInProgress) && !errors.Is(got.err, context.Canceled) {
					t.Errorf("the leader got %v", got.err)
				}

				claims := s.count(opClaim)

				synctest.Wait()

				if n := s.count(opClaim) - claims; n > 2 {
					t.Errorf("%d claims were sent when the leader left, want one successor's", n)
				}

				for _, follower := range followers {
					(<-follower).mustBe(t, onlyonce.StatusReplayed, "#1")
				}

				(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
				p.mustHaveRun(t, 1)
			})
		})
	}
}

func TestWaiterNeverTouchesTheOwnersRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, second, first := twoEngines(t, onlyonce.Policy{})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(4*time.Second))

		synctest.Wait()

		before := record(t, first, "k")

		time.AfterFunc(3*time.Second, func() {
			if after := record(t, first, "k"); after.Fence != before.Fence || after.Token != before.Token ||
				!after.LeaseUntil.Equal(before.LeaseUntil) {
				t.Errorf("the waiting has changed %+v into %+v", before, after)
			}
		})

		do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")

		if n := s.count(opRelease) + s.count(opRenew) + s.count(opComplete) + s.count(opHold); n != 0 {
			t.Errorf("a waiter sent %d operations besides claims", n)
		}
	})
}

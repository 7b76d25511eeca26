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

func TestF43RunEndsWhenItsRecordIsGone(t *testing.T) {
	t.Parallel()

	for _, g := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, withGuarantee(g))

				time.AfterFunc(time.Second, s.restartEmpty)

				got := do(t, e, pay("k"), new(payments).cancellable(20*time.Second))
				if !errors.Is(got.err, onlyonce.ErrLeaseLost) {
					t.Errorf("got %s, %v; want ErrLeaseLost", got.Status, got.err)
				}

				if n := s.count(opRenew); n != 1 {
					t.Errorf("%d renewals of a record that is gone, want 1", n)
				}
			})
		})
	}
}

func TestF43OutcomeOfARunWhoseRecordIsGoneIsUnrecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		time.AfterFunc(time.Second, s.restartEmpty)
		do(t, e, pay("k"), p.lasting(2*time.Second)).mustBe(t, onlyonce.StatusUnrecorded, "#1")
	})
}

// The store has lost the record, and another request has claimed the key. The run's own caller must not get the advice
// that its request was not executed and needs a new key.
func TestF43OwnerWhoseKeyHasGoneToAnotherRequestIsUnrecorded(t *testing.T) {
	t.Parallel()

	for name, ended := range map[string]bool{"which has an outcome": true, "which runs": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				first, second := newEngine(t, s), newEngine(t, s)

				var p payments

				got := inBackground(t.Context(), first, pay("k"), p.lasting(2*time.Second))
				failed := inBackground(t.Context(), first, pay("f"), func(context.Context) ([]byte, error) {
					time.Sleep(2 * time.Second)

					return nil, errLine
				})

				time.Sleep(time.Second)
				s.restartEmpty()

				length := 10 * time.Second
				if ended {
					length = 0
				}

				others := []<-chan answer{
					inBackground(t.Context(), second, payOther("k"), p.lasting(length)),
					inBackground(t.Context(), second, payOther("f"), p.lasting(length)),
				}

				if a := <-got; a.err != nil || a.Status != onlyonce.StatusUnrecorded {
					t.Errorf("the owner got %s, %v; want its answer, unrecorded", a.Status, a.err)
				}

				(<-failed).mustFail(t, onlyonce.StatusUnknown, errLine)

				for _, other := range others {
					if a := <-other; a.err != nil || a.Status != onlyonce.StatusExecuted {
						t.Errorf("the other request got %s, %v", a.Status, a.err)
					}
				}
			})
		})
	}
}

func TestRunEndsWhenARenewalFindsAnotherOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		watched := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce), onlyonce.WithObserver(seen))
		second := newEngine(t, s.mem, withGuarantee(onlyonce.AtLeastOnce))

		var p payments

		// The store must not take the record from a living lease. If it does, the next renewal notices.
		s.next(opRenew, func(ctx context.Context, deliver deliver) (store.Result, error) {
			_, _ = s.mem.Release(ctx, store.Release{Claim: s.lastClaim()})
			_, _ = second.Do(ctx, pay("k"), p.do)

			return deliver(ctx)
		})

		got := do(t, watched, pay("k"), p.cancellable(20*time.Second))
		got.mustBe(t, onlyonce.StatusReplayed, "#1")
		seen.mustHave(t, onlyonce.EventLeaseLost, 1)
		p.mustHaveRun(t, 2)
	})
}

package onlyonce_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// twoEngines are two processes on one store. The line of the first can be cut.
func twoEngines(t *testing.T, p onlyonce.Policy) (s *faultStore, first, second *onlyonce.Engine) {
	t.Helper()

	s = newFaultStore()

	return s, newEngine(t, s, onlyonce.WithPolicy(p)), newEngine(t, s.mem, onlyonce.WithPolicy(p))
}

func TestF16OvertakenOwnerGetsTheWinnersOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
		s.broken(lostRequest, opRenew)

		var p payments

		paused := inBackground(t.Context(), first, pay("k"), func(context.Context) ([]byte, error) {
			time.Sleep(20 * time.Second)

			return []byte("late"), nil
		})

		time.Sleep(16 * time.Second)
		do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-paused).mustBe(t, onlyonce.StatusReplayed, "#1")
		do(t, first, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		p.mustHaveRun(t, 1)
	})
}

func TestF16OvertakenOwnerHasLostItsLeaseWhileTheWinnerRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
		s.broken(lostRequest, opRenew)

		var p payments

		paused := inBackground(t.Context(), first, pay("k"), p.lasting(20*time.Second))

		time.Sleep(16 * time.Second)

		winner := inBackground(t.Context(), second, pay("k"), p.lasting(10*time.Second))

		synctest.Wait()

		if rec := record(t, second, "k"); rec.Fence != 2 || rec.Attempts != 2 {
			t.Errorf("the takeover has fence %d and attempt %d, want 2 and 2", rec.Fence, rec.Attempts)
		}

		lost := <-paused
		if r := lost.rejection(t, onlyonce.ReasonLeaseLost); r.RetryAfter <= 0 {
			t.Error("the rejection does not say when to retry")
		}

		if got := onlyonce.VerdictOf(lost.err); got != onlyonce.VerdictUnknown {
			t.Errorf("VerdictOf = %v, want unknown", got)
		}

		(<-winner).mustBe(t, onlyonce.StatusExecuted, "#2")
		do(t, first, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#2")
	})
}

func TestF16OvertakenOwnerThatHasNoOutcomeAnswersForItself(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		err    error
		status onlyonce.Status
	}{
		// Another run of the key has begun, so this run cannot claim that nothing happened.
		"not executed": {onlyonce.NotExecuted(errLine), onlyonce.StatusUnknown},
		"ambiguous":    {errLine, onlyonce.StatusUnknown},
	} {
		for _, ended := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
					s.broken(lostRequest, opRenew)

					var p payments

					paused := inBackground(t.Context(), first, pay("k"), func(context.Context) ([]byte, error) {
						time.Sleep(20 * time.Second)

						return nil, tt.err
					})

					time.Sleep(16 * time.Second)

					length := 10 * time.Second
					if ended {
						length = 0
					}

					winner := inBackground(t.Context(), second, pay("k"), p.lasting(length))

					if ended {
						// The record is completed by then, and its outcome is the answer for all callers.
						(<-paused).mustBe(t, onlyonce.StatusReplayed, "#1")
					} else {
						(<-paused).mustFail(t, tt.status, errLine)
					}

					(<-winner).mustBe(t, onlyonce.StatusExecuted, "#1")
					mustBeState(t, second, store.Completed)
				})
			})
		}
	}
}

func TestF18CompletionAndTakeoverAtOnceHaveOneWinner(t *testing.T) {
	t.Parallel()

	const rounds = 100

	s := memstore.New()
	policy := onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Lease: 10 * time.Millisecond, MaxRun: time.Second}
	first := newEngine(t, unrenewedStore{s}, onlyonce.WithPolicy(policy))
	second := newEngine(t, unrenewedStore{s}, onlyonce.WithPolicy(policy))

	for round, late := 0, 0; round < rounds; round++ {
		key := fmt.Sprintf("k-%d-%d", round, late)

		var wg sync.WaitGroup

		answers := make([]answer, 2)
		work := func(body string) func(context.Context) ([]byte, error) {
			return func(ctx context.Context) ([]byte, error) {
				<-ctx.Done() // the lease is about to end

				return []byte(body), nil
			}
		}

		wg.Go(func() { answers[0] = do(t, first, pay(key), work("a")) })
		wg.Go(func() { answers[1] = do(t, second, pay(key), work("b")) })
		wg.Wait()

		for _, a := range answers {
			if a.err != nil && !errors.Is(a.err, onlyonce.ReasonLeaseLost) && !errors.Is(a.err, onlyonce.ReasonInProgress) {
				t.Fatalf("round %d: %v", round, a.err)
			}
		}

		rec := record(t, first, key)

		// On a slow machine, the claim may be answered shortly before its lease ends. Then it is released. The other
		// run, if there was one, has lost the key to it, so neither has completed.
		if rec.State == store.Released && answers[0].err != nil && answers[1].err != nil && late < rounds {
			late++
			round--

			continue
		}

		if rec.State != store.Completed {
			t.Fatalf("round %d: the record is %v", round, rec.State)
		}

		executed := 0

		for _, a := range answers {
			switch {
			case a.err != nil:
			case !bytes.Equal(a.Body, rec.Body):
				t.Fatalf("round %d: an answer is %q, recorded is %q", round, a.Body, rec.Body)
			case a.Status == onlyonce.StatusExecuted:
				executed++
			}
		}

		if executed != 1 {
			t.Fatalf("round %d: %d completions have won: %+v", round, executed, answers)
		}
	}
}

// unrenewedStore is a store that applies no renewal.
type unrenewedStore struct{ *memstore.Store }

func (unrenewedStore) Renew(context.Context, store.Renewal) (store.Result, error) {
	return store.Result{}, errLine
}

func TestF19StarvedRenewalFencesTheRunBeforeItsLeaseEnds(t *testing.T) {
	t.Parallel()

	for name, starve := range map[string]fault{"refused": lostRequest, "hanging": hanging, "for ever": slow(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				s := newFaultStore()
				e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce), onlyonce.WithObserver(seen))
				s.broken(starve, opRenew)

				var left time.Duration

				do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					<-ctx.Done()

					left = time.Until(record(t, e, "k").LeaseUntil) //nolint:contextcheck // the test reads the record

					return nil, context.Cause(ctx)
				}).mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrLeaseLost)

				if left <= 0 || left > 3*time.Second {
					t.Errorf("the run was cancelled with %v left of its lease, want a tenth of 15s", left)
				}

				seen.mustHave(t, onlyonce.EventLeaseLost, 1)
			})
		})
	}
}

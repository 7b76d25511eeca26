package onlyonce_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF22ThousandDuplicatesAtOnceRunOnceAndCostTheStoreOneClaim(t *testing.T) {
	t.Parallel()

	const calls = 1_000

	for name, tt := range map[string]struct {
		err    error
		answer onlyonce.Status
	}{
		"success":     {nil, onlyonce.StatusReplayed},
		"final error": {onlyonce.Final(errLine), onlyonce.StatusReplayed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, onlyonce.WithLimits(onlyonce.Limits{MaxWaitersPerKey: calls}))

				var p payments

				answers := make([]answer, calls)

				var wg sync.WaitGroup

				for i := range calls {
					wg.Go(func() {
						answers[i] = do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
							body, _ := p.lasting(time.Second)(ctx)

							return body, tt.err
						})
					})
				}

				wg.Wait()
				p.mustHaveRun(t, 1)

				executed := 0

				for _, got := range answers {
					switch {
					case got.Status == onlyonce.StatusExecuted:
						executed++
					case got.Status != tt.answer:
						t.Fatalf("a duplicate got %s, %v", got.Status, got.err)
					}

					if fmt.Sprint(got.err) != fmt.Sprint(tt.err) || tt.err == nil && string(got.Body) != "#1" {
						t.Fatalf("a call got %q, %v", got.Body, got.err)
					}
				}

				if executed != 1 {
					t.Errorf("%d calls were executed, want 1", executed)
				}

				if claims, all := s.count(opClaim), s.count(opComplete); claims != 1 || all != 1 {
					t.Errorf("the duplicates cost %d claims and %d completions, want 1 and 1", claims, all)
				}
			})
		})
	}
}

func TestF22DuplicatesBeyondTheBoundGetARetryableError(t *testing.T) {
	t.Parallel()

	for name, limits := range map[string]onlyonce.Limits{
		"per key": {MaxWaitersPerKey: 10},
		"in all":  {MaxWaiters: 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, onlyonce.WithLimits(limits))

				var p payments

				running := inBackground(t.Context(), e, pay("k"), p.lasting(time.Second))

				synctest.Wait()

				answers := make(chan answer, 25)
				for range cap(answers) {
					go func() { answers <- do(t, e, pay("k"), p.do) }()
				}

				synctest.Wait()

				if n := e.Seats(); n != 10 {
					t.Errorf("%d calls wait, want 10", n)
				}

				replayed := 0

				for range cap(answers) {
					got := <-answers
					if got.err == nil {
						got.mustBe(t, onlyonce.StatusReplayed, "#1")

						replayed++

						continue
					}

					if r := got.rejection(t, onlyonce.ReasonInProgress); r.RetryAfter <= 0 {
						t.Error("the rejection does not say when to retry")
					}
				}

				if replayed != 10 {
					t.Errorf("%d duplicates were replayed, want 10", replayed)
				}

				(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
				p.mustHaveRun(t, 1)

				if n := s.count(opClaim); n != 1 {
					t.Errorf("%d claims were sent, want 1", n)
				}

				// All seats are free again.
				again := inBackground(t.Context(), e, pay("k2"), p.lasting(time.Second))

				synctest.Wait()
				do(t, e, pay("k2"), p.do).mustBe(t, onlyonce.StatusReplayed, "#2")
				(<-again).mustBe(t, onlyonce.StatusExecuted, "#2")
			})
		})
	}
}

func TestF22PlaceOfAWaiterWhoHasLeftIsFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore(), onlyonce.WithLimits(onlyonce.Limits{MaxWaitersPerKey: 1}))

		var p payments

		running := inBackground(t.Context(), e, pay("k"), p.lasting(3*time.Second))

		synctest.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		gone := inBackground(ctx, e, pay("k"), p.do)

		synctest.Wait()
		do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonInProgress)
		cancel()
		(<-gone).mustFail(t, onlyonce.StatusRejected, context.Canceled)

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestF22BoundOnWaitersHoldsForThoseWhoWaitForAnotherEngine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{})
		third := newEngine(t, s, onlyonce.WithLimits(onlyonce.Limits{MaxWaiters: 1}))

		var p payments

		a := inBackground(t.Context(), first, pay("a"), p.lasting(3*time.Second))
		b := inBackground(t.Context(), second, pay("b"), p.lasting(4*time.Second))

		synctest.Wait()

		waiting := inBackground(t.Context(), third, pay("a"), p.do)

		synctest.Wait()
		do(t, third, pay("b"), p.do).mustBeRejected(t, onlyonce.ReasonInProgress)

		(<-waiting).mustBe(t, onlyonce.StatusReplayed, string((<-a).Body))

		do(t, third, pay("b"), p.do).mustBe(t, onlyonce.StatusReplayed, string((<-b).Body))
		p.mustHaveRun(t, 2)
	})
}

func TestF23OnlyTheWaiterWithTheShortDeadlineFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

		synctest.Wait()

		began := time.Now()

		engines := []*onlyonce.Engine{first, second}
		short, long := make([]<-chan answer, 0, len(engines)), make([]<-chan answer, 0, len(engines))

		for _, e := range engines { // one duplicate of the run itself, and one behind a leader that waits for the run
			long = append(long, inBackground(t.Context(), e, pay("k"), p.do))

			synctest.Wait()

			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			t.Cleanup(cancel)

			short = append(short, inBackground(ctx, e, pay("k"), p.do))

			synctest.Wait()
		}

		for _, waiter := range short {
			got := <-waiter
			got.mustBeRejected(t, onlyonce.ReasonInProgress)

			if took := got.at.Sub(began); took != 1800*time.Millisecond {
				t.Errorf("the waiter was told after %v, want 200ms before its deadline", took)
			}
		}

		for _, waiter := range long {
			(<-waiter).mustBe(t, onlyonce.StatusReplayed, "#1")
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		p.mustHaveRun(t, 1)

		if n := s.count(opClaim); n != 1 {
			t.Errorf("the first engine sent %d claims, want 1", n)
		}
	})
}

func TestF23WaiterWithAVeryShortDeadlineIsRejectedBeforeItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore())

		var p payments

		running := inBackground(t.Context(), e, pay("k"), p.lasting(5*time.Second))

		synctest.Wait()

		began := time.Now()

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()

		got := <-inBackground(ctx, e, pay("k"), p.do)
		got.mustBeRejected(t, onlyonce.ReasonInProgress)

		if took := got.at.Sub(began); took != 90*time.Millisecond {
			t.Errorf("the waiter was told after %v, want a tenth before its deadline", took)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestF23WaiterWhoCancelsLeavesTheRunAlone(t *testing.T) {
	t.Parallel()

	for _, elsewhere := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, first, second := twoEngines(t, onlyonce.Policy{})
			if elsewhere {
				first, second = second, first // the waiter then polls for the run of another engine
			} else {
				second = first
			}

			var p payments

			running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

			synctest.Wait()

			ctx, cancel := context.WithCancelCause(t.Context())
			waiter := inBackground(ctx, second, pay("k"), p.do)

			time.Sleep(time.Second)
			cancel(errLine)
			(<-waiter).mustFail(t, onlyonce.StatusRejected, errLine)
			mustBeState(t, first, store.Running)
			(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
			p.mustHaveRun(t, 1)
		})
	}
}

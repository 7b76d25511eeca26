package onlyonce_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF56DrainRefusesNewCallsAndWaitsForThoseUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		running := inBackground(t.Context(), e, pay("k"), p.lasting(5*time.Second))
		synctest.Wait()

		waiting := inBackground(t.Context(), e, pay("k"), p.do)

		synctest.Wait()

		began := time.Now()
		drained := make(chan error, 1)

		go func() { drained <- e.Drain(t.Context()) }()

		synctest.Wait()

		refused := do(t, e, pay("other"), p.do).rejection(t, onlyonce.ReasonStoreUnavailable)
		if refused.RetryAfter <= 0 {
			t.Error("the refusal does not say when to retry")
		}

		do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)

		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}

		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("Drain took %v, want the 5s of the run", took)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-waiting).mustBe(t, onlyonce.StatusReplayed, "#1")
		p.mustHaveRun(t, 1)
	})
}

func TestF56DrainOfAnIdleEngineReturnsAtOnceAndMayBeRepeated(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())
	for range 3 {
		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	}

	var p payments

	do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
	p.mustHaveRun(t, 0)
}

func TestF56DrainCancelsRunsWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		first := inBackground(t.Context(), e, pay("a"), p.cancellable(20*time.Second))
		second := inBackground(t.Context(), e, pay("b"), p.cancellable(20*time.Second))
		quick := inBackground(t.Context(), e, pay("c"), p.cancellable(time.Second))

		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()

		err := e.Drain(ctx)
		if !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "runs cancelled: 2, settlements not acknowledged by the store: 0") {
			t.Errorf("Drain: %v, want a deadline and the count of 2 runs", err)
		}

		(<-first).mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrDraining)
		(<-second).mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrDraining)
		(<-quick).mustBe(t, onlyonce.StatusExecuted, "#1")

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("the second Drain: %v", err)
		}
	})
}

func TestF56DrainWaitsForWhatIsTriedInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.broken(lostRequest, opComplete)

		var p payments

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusUnrecorded, "#1")

		time.AfterFunc(7*time.Second, func() { s.broken(nil, opComplete) })

		began := time.Now()
		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}

		if took := time.Since(began); took < 7*time.Second || took > 13*time.Second {
			t.Errorf("Drain took %v, want until the store has healed", took)
		}

		mustBeState(t, e, store.Completed)
	})
}

func TestF56DrainGivesUpWhatTheStoreDoesNotAcknowledge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.broken(hanging, opHold, opRelease)

		var p payments

		do(t, e, pay("a"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		do(t, e, pay("b"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		err := e.Drain(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "settlements not acknowledged by the store: 2") {
			t.Errorf("Drain: %v, want a deadline and the count of 2 settlements", err)
		}

		if e.Pending() != 0 {
			t.Errorf("%d settlements are still pending", e.Pending())
		}
	})
}

// A drain waits for unprotected runs, too, and cancels them.
func TestF56DrainCancelsUnprotectedRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))
		s.broken(lostRequest, everyOperation()...)

		var p payments

		got := inBackground(t.Context(), e, pay("k"), p.cancellable(20*time.Second))

		time.Sleep(time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		if err := e.Drain(ctx); err == nil || !strings.Contains(err.Error(), "runs cancelled: 1, settlements not acknowledged by the store: 1") {
			t.Errorf("Drain: %v, want the count of 1 run and 1 claim", err)
		}

		(<-got).mustFail(t, onlyonce.StatusUnprotected, onlyonce.ErrDraining)
	})
}

func TestF56SeveralDrainsAtOnceAllReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		got := inBackground(t.Context(), e, pay("k"), p.lasting(time.Second))

		synctest.Wait()

		began := time.Now()
		drained := make(chan error)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		for range 3 {
			go func() { drained <- e.Drain(ctx) }()
		}

		for range 3 {
			if err := <-drained; err != nil {
				t.Errorf("Drain: %v", err)
			}
		}

		if took := time.Since(began); took != time.Second {
			t.Errorf("the last Drain took %v, want 1s", took)
		}

		(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

// A call that waits for another engine's run when the drain begins claims no more, even if it could win.
func TestF56CallThatWaitsWhenTheDrainBeginsDoesNotClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce))
		crashed(t, s.mem, "k", onlyonce.AtLeastOnce, 3*time.Second)

		var p payments

		leader := inBackground(t.Context(), e, pay("k"), p.lasting(time.Minute))
		follower := inBackground(t.Context(), e, pay("k"), p.lasting(time.Minute))

		time.Sleep(time.Second)

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}

		(<-leader).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		(<-follower).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		p.mustHaveRun(t, 0)
	})
}

func TestF56ClaimThatMayStillArriveIsReleasedWhenTheDrainStopsItsCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		do(t, e, pay("k"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)

		releases := s.count(opRelease)
		s.next(opClaim, late(time.Hour), slow(time.Second)) // the record requires a second claim, which is no longer sent

		stopped := inBackground(t.Context(), e, pay("k"), p.do)

		time.Sleep(500 * time.Millisecond)

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}

		(<-stopped).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)

		if n := s.count(opRelease) - releases; n != 1 {
			t.Errorf("%d releases of the withdrawn claim, want 1", n)
		}

		time.Sleep(2 * time.Hour)
		mustBeState(t, e, store.Released)
		p.mustHaveRun(t, 1)
	})
}

// The drain's time is over while a claim is on its way. The run that the claim starts has to be cancelled as well.
func TestF56RunThatStartsAfterTheDrainsTimeIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opClaim, slow(time.Second))

		var p payments

		got := inBackground(t.Context(), e, pay("k"), p.cancellable(20*time.Second))

		synctest.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		cancel()

		if err := e.Drain(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Drain: %v, want a cancellation", err)
		}

		began := time.Now()
		a := <-got

		if took := time.Since(began); took > time.Second || !errors.Is(a.err, onlyonce.ErrDraining) {
			t.Errorf("the run ended after %v with %v, want at once with ErrDraining", took, a.err)
		}
	})
}

// Testing code ends goroutines with t.FailNow.
func TestF56DrainEndsAlthoughAnObserverEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(onlyonce.ObserverFunc(func(_ context.Context, event onlyonce.Event) {
			if event.Kind == onlyonce.EventPendingSettled {
				runtime.Goexit()
			}
		})))
		s.next(opHold, lostRequest)

		do(t, e, pay("k"), new(payments).failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		time.Sleep(time.Minute)

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

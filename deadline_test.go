package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A slow observer must not delay the end of a run past its lease.
func TestF19SlowObserverDoesNotKeepARunAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		slow := onlyonce.ObserverFunc(func(_ context.Context, e onlyonce.Event) {
			if e.Kind == onlyonce.EventRenewFailed {
				time.Sleep(time.Minute)
			}
		})
		e := newEngine(t, s, withGuarantee(onlyonce.AtLeastOnce), onlyonce.WithObserver(slow))
		s.broken(lostRequest, opRenew)

		var (
			p     payments
			ended time.Duration
		)

		began := time.Now()
		_ = do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()

			ended = time.Since(began)

			return p.do(ctx)
		})

		if ended >= onlyonce.DefaultLease {
			t.Errorf("the run was ended after %v, its lease may have ended after %v", ended, onlyonce.DefaultLease)
		}
	})
}

func TestF08CallerGetsItsAnswerBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.broken(lostRequest, opComplete)

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()

		var p payments

		got := <-inBackground(ctx, e, pay("k"), p.do)
		got.mustBe(t, onlyonce.StatusUnrecorded, "#1")

		if ctx.Err() != nil {
			t.Error("the answer came after the caller's deadline")
		}

		over, stop := context.WithCancel(t.Context())
		stop()

		_ = e.Drain(over)
	})
}

func TestF06FailOpenOutlastsALongOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithLimits(onlyonce.Limits{MaxPending: 3}),
			onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))
		s.broken(lostRequest, everyOperation()...)

		var p payments

		for i := range 9 {
			do(t, e, pay(fmt.Sprint("k", i)), p.do).mustBe(t, onlyonce.StatusUnprotected, fmt.Sprint("#", i+1))
		}

		over, stop := context.WithCancel(t.Context())
		stop()

		_ = e.Drain(over)
	})
}

func TestF06FailOpenOpensInTimeWhenTheStoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))
		s.broken(hanging, opClaim)

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()

		var p payments

		got := <-inBackground(ctx, e, pay("k"), p.lasting(time.Second))
		got.mustBe(t, onlyonce.StatusUnprotected, "#1")

		if ctx.Err() != nil {
			t.Error("the answer came after the caller's deadline")
		}

		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestErrorOfACallerWhoHasGoneMatchesBothItsEndAndItsCause(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errLine)

	_, err := newEngine(t, memstore.New()).Do(ctx, pay("k"), nil)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errLine) {
		t.Errorf("got %v, want one that matches context.Canceled and the cause", err)
	}
}

// A store that has answered is not down: its answer may have been that another call is running.
func TestF06FailOpenDoesNotRunNextToALiveRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen})
		s := newFaultStore()
		first := newEngine(t, s.memory(), policy)
		second := newEngine(t, s, policy)
		s.broken(distant(60*time.Millisecond), opClaim)

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(10*time.Second))

		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		if got := <-inBackground(ctx, second, pay("k"), p.do); got.err == nil {
			t.Errorf("the duplicate got %s %q next to a live run", got.Status, got.Body)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		p.mustHaveRun(t, 1)

		if err := second.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestF06DuplicatesWithShortDeadlinesShareTheRejectionOfAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.broken(lostRequest, opClaim)

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()

		var p payments

		answers := make([]<-chan answer, 50)
		for i := range answers {
			answers[i] = inBackground(ctx, e, pay("k"), p.do)
		}

		for _, got := range answers {
			(<-got).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		}

		if n := s.count(opClaim); n != 3 {
			t.Errorf("the store was asked %d times, want the 3 tries of one call", n)
		}

		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

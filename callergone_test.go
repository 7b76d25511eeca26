package onlyonce_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF20RunGoesOnAndIsRecordedWhenItsCallerCancels(t *testing.T) {
	t.Parallel()

	for name, s := range map[string]func() store.Store{
		"at once":  func() store.Store { return memstore.New() },
		"remotely": func() store.Store { return newFaultStore() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, s(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxWait: time.Minute}))

				var p payments

				ctx, cancel := context.WithCancel(t.Context())
				got := inBackground(ctx, e, pay("k"), p.cancellable(20*time.Second)) // its lease is renewed all the same

				time.Sleep(time.Second)
				cancel()

				do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
				(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
				p.mustHaveRun(t, 1)
			})
		})
	}
}

func TestF21RunGoesOnAndIsRecordedWhenItsCallersDeadlinePasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore())

		var p payments

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		deadline, _ := ctx.Deadline()

		got := inBackground(ctx, e, pay("k"), func(run context.Context) ([]byte, error) {
			if seen, ok := onlyonce.CallerDeadline(run); !ok || !seen.Equal(deadline) {
				t.Errorf("CallerDeadline = %v, %v; want %v", seen, ok, deadline)
			}

			return p.cancellable(5 * time.Second)(run)
		})

		time.Sleep(2 * time.Second)
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		(<-got).mustBe(t, onlyonce.StatusExecuted, "#1")
		p.mustHaveRun(t, 1)
	})
}

// A caller who goes at the very end of its run must not take the record with it.
func TestF20OutcomeIsWrittenAfterTheCallerHasGone(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		err   error
		state store.State
	}{
		"completed": {nil, store.Completed},
		"released":  {onlyonce.NotExecuted(errLine), store.Released},
		"held":      {errLine, store.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e := newEngine(t, memstore.New())
			ctx, cancel := context.WithCancel(t.Context())

			_, _ = e.Do(ctx, pay("k"), func(context.Context) ([]byte, error) {
				cancel()

				return nil, tt.err
			})

			mustBeState(t, e, tt.state)

			if e.Pending() != 0 {
				t.Errorf("%d settlements are pending, want none", e.Pending())
			}
		})
	}
}

// An error about the caller of a run is no answer to the duplicates that wait for the run.
func TestF20DuplicatesOfARunThatEndedWithItsCallerAreRejectedAsInProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), withGuarantee(onlyonce.AtLeastOnce))
		call := pay("k")
		call.Policy = &onlyonce.Policy{Detachment: onlyonce.Attached}

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()

		var p payments

		owner := inBackground(ctx, e, call, p.cancellable(10*time.Second))

		synctest.Wait()

		duplicate := inBackground(t.Context(), e, pay("k"), p.do)

		(<-owner).mustFail(t, onlyonce.StatusUnknown, context.DeadlineExceeded)
		(<-duplicate).mustBeRejected(t, onlyonce.ReasonInProgress)
		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestF20RunThatIsNotDetachedEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), withGuarantee(onlyonce.AtLeastOnce))
		call := pay("k")
		call.Policy = &onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Detachment: onlyonce.Attached}

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()

		var p payments

		began := time.Now()
		got := <-inBackground(ctx, e, call, func(run context.Context) ([]byte, error) {
			if deadline, ok := run.Deadline(); !ok || !deadline.Equal(began.Add(3*time.Second)) {
				t.Errorf("the run's deadline is %v, want its caller's", deadline)
			}

			return p.cancellable(10 * time.Second)(run)
		})

		got.mustFail(t, onlyonce.StatusUnknown, context.DeadlineExceeded)

		if took := got.at.Sub(began); took != 3*time.Second {
			t.Errorf("the run ended after %v, want 3s", took)
		}

		mustBeState(t, e, store.Released)
	})
}

func TestF20CallerWhoHasGoneBeforeTheHandlerReleasesTheKey(t *testing.T) {
	t.Parallel()

	for failures, release := range []fault{nil, lostRequest} {
		t.Run(fmt.Sprintf("%d failures", failures), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				s := newFaultStore()
				e := newEngine(t, s, onlyonce.WithObserver(seen))
				s.next(opClaim, slow(2*time.Second)) // the answer arrives after the caller has gone
				s.next(opRelease, release)

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()

				var p payments

				got := <-inBackground(ctx, e, pay("k"), p.do)
				got.mustFail(t, onlyonce.StatusRejected, context.DeadlineExceeded)

				time.Sleep(time.Second)
				mustBeState(t, e, store.Released)
				seen.mustHave(t, onlyonce.EventSettleFailed, failures)
				do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
				p.mustHaveRun(t, 1)
			})
		})
	}
}

func TestF20CallerWhoHasGoneFromTheStartClaimsNothing(t *testing.T) {
	t.Parallel()

	s := newFaultStore()
	e := newEngine(t, s)
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errLine)

	var p payments

	got := <-inBackground(gone, e, pay("k"), p.do)
	got.mustFail(t, onlyonce.StatusRejected, errLine)
	p.mustHaveRun(t, 0)

	if n := s.count(opClaim) + s.count(opRelease); n != 0 {
		t.Errorf("%d operations were sent for a caller who has gone", n)
	}
}

// Duplicates that wait for a call are not rejected when the caller of that call leaves before its handler runs.
func TestF20DuplicatesOfACallerWhoHasGoneRunThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opClaim, hanging)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		var p payments

		gone := inBackground(ctx, e, pay("k"), p.do)

		synctest.Wait()

		first := inBackground(t.Context(), e, pay("k"), p.do)
		second := inBackground(t.Context(), e, pay("k"), p.do)

		(<-gone).mustBeRejected(t, onlyonce.ReasonStoreUnavailable) // in half of its time

		statuses := map[onlyonce.Status]int{}

		for _, got := range []answer{<-first, <-second} {
			if got.err != nil || string(got.Body) != "#1" {
				t.Errorf("got %q, %v", got.Body, got.err)
			}

			statuses[got.Status]++
		}

		if statuses[onlyonce.StatusExecuted] != 1 || statuses[onlyonce.StatusReplayed] != 1 {
			t.Errorf("statuses %v, want one executed and one replayed", statuses)
		}

		p.mustHaveRun(t, 1)
	})
}

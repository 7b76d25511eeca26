package onlyonce_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Duplicates that arrive before the store has answered the first call are answered from the store's reply to that call.
func TestF23DuplicatesFromBeforeTheClaimWaitForTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: 5 * time.Second}))
		s.next(opClaim, slow(time.Second))

		var p payments

		began := time.Now()
		owner := inBackground(t.Context(), e, pay("k"), p.lasting(20*time.Second))

		synctest.Wait()

		same := inBackground(t.Context(), e, pay("k"), p.do)
		other := inBackground(t.Context(), e, payOther("k"), p.do)

		rejected := <-other
		rejected.mustBeRejected(t, onlyonce.ReasonKeyReused)

		if took := rejected.at.Sub(began); took != time.Second {
			t.Errorf("another request has waited for %v, want as long as the claim took", took)
		}

		waited := <-same
		waited.mustBeRejected(t, onlyonce.ReasonInProgress)

		if took := waited.at.Sub(began); took != 5*time.Second {
			t.Errorf("the duplicate has waited for %v, want MaxWait", took)
		}

		(<-owner).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

// A run that ends after the drain has run out of time leaves nothing in the backlog, because nothing would wait for it.
func TestF56RunThatEndsAfterADrainHasRunOutOfTimeLeavesNothingPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.broken(lostRequest, opRelease)

		got := inBackground(t.Context(), e, pay("k"), func(context.Context) ([]byte, error) {
			time.Sleep(10 * time.Second)

			return nil, onlyonce.NotExecuted(errLine)
		})

		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		if err := e.Drain(ctx); err == nil {
			t.Error("Drain has not said that a run was left")
		}

		<-got

		if n := e.Pending(); n != 0 {
			t.Errorf("%d settlements are tried in the background of an engine that was drained", n)
		}

		s.broken(nil, opRelease)
	})
}

// With many calls, callers that have left are not counted at every call, but soon.
func TestMaxDetachedHoldsWhereThereAreManyCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 4_010

		e := newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: many - 100}))
		end := make(chan struct{})
		handler := func(context.Context) ([]byte, error) {
			<-end

			return nil, nil
		}

		ctx, cancel := context.WithCancel(t.Context())
		answers := make([]<-chan answer, many)

		for i := range answers {
			answers[i] = inBackground(ctx, e, pay(strconv.Itoa(i)), handler)
		}

		synctest.Wait()
		cancel()
		time.Sleep(10 * time.Millisecond)
		do(t, e, pay("one-more"), handler).mustBeRejected(t, onlyonce.ReasonStoreFull)
		close(end)

		for _, got := range answers {
			(<-got).mustBe(t, onlyonce.StatusExecuted, "")
		}
	})
}

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

func TestF17LateOwnerSettlesItsOwnUnknownRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtMostOnce})
		s.broken(lostRequest, opRenew)

		var p payments

		paused := inBackground(t.Context(), first, pay("k"), p.lasting(20*time.Second))

		time.Sleep(16 * time.Second)

		rejection := do(t, second, pay("k"), p.do).rejection(t, onlyonce.ReasonOutcomeUnknown)
		if rejection.RetryAfter < 30*time.Second || rejection.RetryAfter > 90*time.Second {
			t.Errorf("RetryAfter = %v, want a minute, jittered by half", rejection.RetryAfter)
		}

		if rejection.Metadata["since"] == "" {
			t.Errorf("the metadata %v does not say since when", rejection.Metadata)
		}

		(<-paused).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		p.mustHaveRun(t, 1)
	})
}

func TestF59LateOwnerAnswersWhatWasResolvedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtMostOnce})
		s.broken(lostRequest, opRenew)

		var p payments

		paused := inBackground(t.Context(), first, pay("k"), p.lasting(20*time.Second))

		time.Sleep(16 * time.Second)

		rec := record(t, second, "k")
		if !rec.Unknown {
			t.Errorf("the outcome is not unknown: %+v", rec)
		}

		resolution := onlyonce.Happened("OK", []byte("resolved"))
		if err := second.Resolve(t.Context(), record(t, second, "k"), resolution); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		(<-paused).mustBe(t, onlyonce.StatusReplayed, "resolved")
		do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "resolved")
		p.mustHaveRun(t, 1)
	})
}

func TestF59LateOwnerOfARecordThatWasResolvedAsNotExecutedIsUnrecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtMostOnce})
		s.broken(lostRequest, opRenew)

		var p payments

		paused := inBackground(t.Context(), first, pay("k"), p.lasting(time.Minute))

		time.Sleep(39 * time.Second)

		early := record(t, second, "k")
		if err := second.Resolve(t.Context(), early, onlyonce.DidNotHappen()); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("Resolve: %v, want ErrOwnerMayBeAlive", err)
		}

		time.Sleep(2 * time.Second)

		// An effect that was absent at the early lookup may have happened since.
		if err := second.Resolve(t.Context(), early, onlyonce.DidNotHappen()); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("Resolve after an early look: %v, want ErrOwnerMayBeAlive", err)
		}

		if err := second.Resolve(t.Context(), record(t, second, "k"), onlyonce.DidNotHappen()); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		(<-paused).mustBe(t, onlyonce.StatusUnrecorded, "#1")
		mustBeState(t, second, store.Released)
	})
}

func TestF59RunUnderAtMostOnceGoesOnAfterItWasResolved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtMostOnce})
		s.broken(lostRequest, opRenew)

		var p payments

		paused := inBackground(t.Context(), first, pay("k"), func(ctx context.Context) ([]byte, error) {
			time.Sleep(22 * time.Second)

			if ctx.Err() != nil {
				t.Errorf("the run was cancelled: %v", context.Cause(ctx))
			}

			return p.do(ctx)
		})

		time.Sleep(16 * time.Second)

		resolution := onlyonce.Happened("OK", []byte("resolved"))
		if err := second.Resolve(t.Context(), record(t, second, "k"), resolution); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		s.broken(nil, opRenew)
		(<-paused).mustBe(t, onlyonce.StatusReplayed, "resolved")
		p.mustHaveRun(t, 1)
	})
}

func TestF59RunIsOverBeforeItCanBeResolvedAsNotExecuted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Lease: time.Second, MaxRun: 5 * time.Second}))
		s.next(opClaim, func(ctx context.Context, deliver deliver) (store.Result, error) {
			res, err := deliver(ctx)
			time.Sleep(1900 * time.Millisecond) // the reply takes longer than the lease

			return res, err
		})

		var aliveUntil, cancelled time.Time

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			aliveUntil = record(t, e, "k").OwnerAliveUntil //nolint:contextcheck // the test reads the record
			<-ctx.Done()

			cancelled = time.Now()

			return nil, context.Cause(ctx)
		}).mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrMaxRun)

		if !cancelled.Before(aliveUntil) {
			t.Errorf("the run was told to end at %v, and could be resolved from %v on", cancelled, aliveUntil)
		}
	})
}

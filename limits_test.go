package onlyonce_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestNewNeedsAStore(t *testing.T) {
	t.Parallel()

	if _, err := onlyonce.New(nil); err == nil || !strings.Contains(err.Error(), "memstore.New()") {
		t.Errorf("New without a store: %v", err)
	}
}

func TestNewReportsEveryFaultOfPolicyAndLimits(t *testing.T) {
	t.Parallel()

	_, err := onlyonce.New(memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxWaiters: -1, StoreTimeout: -1, ScopeShare: 2}),
		onlyonce.WithPolicy(onlyonce.Policy{MaxAttempts: -1}))

	for _, want := range []string{
		"MaxAttempts is -1: give 1 to 1000000", "MaxWaiters is -1: give 1 to 1000000000", "StoreTimeout is -1ns: give 1ms to 24h0m0s",
		"ScopeShare is 2: give a number above 0, and at most 1",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New reports %v, want %q", err, want)
		}
	}
}

func TestMaxDetachedRefusesNewCallsBeforeTheyClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 2}))

		var p payments

		ctx, cancel := context.WithCancel(t.Context())
		first := inBackground(ctx, e, pay("a"), p.lasting(5*time.Second))
		second := inBackground(ctx, e, pay("b"), p.lasting(5*time.Second))

		synctest.Wait()
		do(t, e, pay("c"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1") // their callers are there

		cancel()
		synctest.Wait()

		claims := s.count(opClaim)

		for _, key := range []string{"d", "a"} {
			if r := do(t, e, pay(key), p.do).rejection(t, onlyonce.ReasonStoreFull); r.RetryAfter <= 0 {
				t.Error("the rejection does not say when to retry")
			}
		}

		if n := s.count(opClaim); n != claims {
			t.Errorf("refused calls have sent %d claims", n-claims)
		}

		<-first
		<-second
		do(t, e, pay("d"), p.do).mustBe(t, onlyonce.StatusExecuted, "#4")

		if err := e.Drain(t.Context()); err != nil { // the refused calls are not counted any more
			t.Errorf("Drain: %v", err)
		}
	})
}

func TestMaxPendingRefusesNewCallsBeforeTheyClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithLimits(onlyonce.Limits{MaxPending: 2}))
		s.broken(lostRequest, opHold)

		var p payments

		for _, key := range []string{"a", "b"} {
			do(t, e, pay(key), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		}

		claims := s.count(opClaim)
		do(t, e, pay("c"), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)

		if n := s.count(opClaim); n != claims {
			t.Errorf("the refused call has sent %d claims", n-claims)
		}

		s.broken(nil, opHold)
		time.Sleep(10 * time.Second)
		do(t, e, pay("c"), p.do).mustBe(t, onlyonce.StatusExecuted, "#3")

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

// A settlement that cannot be written does not delay the others. An obsolete settlement is dropped.
func TestPendingSettlementsDoNotHoldUpEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(seen))
		s.broken(lostRequest, opHold, opRelease)

		var p payments

		do(t, e, pay("a"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		do(t, e, pay("b"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)
		do(t, e, pay("c"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

		s.broken(nil, opRelease)
		time.Sleep(20 * time.Second)

		if n := e.Pending(); n != 2 {
			t.Errorf("%d settlements are pending, want the 2 that cannot be written", n)
		}

		if n := s.count(opHold); n > 60 { // of two records that are tried beside each other
			t.Errorf("%d holds were sent in 20s", n)
		}

		s.broken(failing(store.ErrUnreadable), opHold)
		time.Sleep(20 * time.Second)
		seen.mustHave(t, onlyonce.EventPendingSettled, 3)

		if n := e.Pending(); n != 0 {
			t.Errorf("%d settlements are pending, want none", n)
		}
	})
}

// boundedStore observes deadlines itself.
type boundedStore struct{ *faultStore }

func (s boundedStore) Capabilities() store.Capabilities {
	can := s.faultStore.Capabilities()
	can.Bounded = true

	return can
}

func TestStoreTimeoutBoundsEveryOperation(t *testing.T) {
	t.Parallel()

	for name, of := range map[string]func(*faultStore) store.Store{
		"a store that heeds its context":  func(s *faultStore) store.Store { return s },
		"a store that heeds its deadline": func(s *faultStore) store.Store { return boundedStore{s} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, of(s), onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: 100 * time.Millisecond}))

				var bounds []time.Duration

				watch := func(ctx context.Context, deliver deliver) (store.Result, error) {
					deadline, _ := ctx.Deadline()
					bounds = append(bounds, time.Until(deadline))

					return deliver(ctx)
				}
				s.broken(watch, everyOperation()...)

				var p payments

				do(t, e, pay("a"), p.lasting(6*time.Second)).mustBe(t, onlyonce.StatusExecuted, "#1")
				do(t, e, pay("b"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
				do(t, e, pay("c"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)

				if len(bounds) != 7 {
					t.Errorf("%d operations, want 7", len(bounds))
				}

				for i, bound := range bounds {
					if bound != 100*time.Millisecond {
						t.Errorf("operation %d is bounded by %v, want 100ms", i, bound)
					}
				}
			})
		})
	}
}

func TestDeadlineOfTheCallerComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, boundedStore{s})

		var first time.Duration

		s.broken(func(ctx context.Context, deliver deliver) (store.Result, error) {
			deadline, _ := ctx.Deadline()
			first = time.Until(deadline)

			return deliver(ctx)
		}, opClaim)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		var p payments

		if _, err := e.Do(ctx, pay("a"), p.lasting(0)); err != nil {
			t.Fatal(err)
		}

		if first != 500*time.Millisecond {
			t.Errorf("the claim of a caller who has a second is bounded by %v, want half of it", first)
		}
	})
}

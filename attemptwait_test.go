package onlyonce_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// waitingStores are a store that notifies, and a store that has to be polled.
func waitingStores() map[string]func(*testing.T, *faultStore) store.Store {
	return map[string]func(*testing.T, *faultStore) store.Store{
		"notifying": func(t *testing.T, s *faultStore) store.Store {
			t.Helper()

			return notifying(t, s)
		},
		"polling": func(_ *testing.T, s *faultStore) store.Store { return s },
	}
}

func TestWaitEndsAfterMaxWait(t *testing.T) {
	t.Parallel()

	for name, wrap := range waitingStores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				first := newEngine(t, s.mem)
				second := newEngine(t, wrap(t, s), onlyonce.WithPolicy(onlyonce.Policy{MaxWait: 3 * time.Second}))

				var p payments

				running := inBackground(t.Context(), first, pay("k"), p.lasting(8*time.Second))

				synctest.Wait()

				began := time.Now()
				leader := inBackground(t.Context(), second, pay("k"), p.do)
				follower := inBackground(t.Context(), second, pay("k"), p.do)

				for _, waiter := range []<-chan answer{leader, follower} {
					got := <-waiter
					got.mustBeRejected(t, onlyonce.ReasonInProgress)

					if took := got.at.Sub(began); took != 3*time.Second {
						t.Errorf("the wait took %v, want 3s", took)
					}
				}

				(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
				p.mustHaveRun(t, 1)
			})
		})
	}
}

func TestNoWaitAnswersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, first, second := twoEngines(t, onlyonce.Policy{MaxWait: onlyonce.NoWait})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

		synctest.Wait()

		began := time.Now()

		for _, e := range []*onlyonce.Engine{first, second} {
			do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonInProgress)
		}

		if took := time.Since(began); took != 0 {
			t.Errorf("NoWait took %v", took)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")

		for _, e := range []*onlyonce.Engine{first, second} {
			do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		}
	})
}

func TestWaitForAnotherEnginesRunGetsItsOutcome(t *testing.T) {
	t.Parallel()

	for name, wrap := range waitingStores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				first := newEngine(t, s.mem)
				second := newEngine(t, wrap(t, s))

				var p payments

				running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

				synctest.Wait()

				began := time.Now()
				leader := inBackground(t.Context(), second, pay("k"), p.do)
				follower := inBackground(t.Context(), second, pay("k"), p.do)

				for _, waiter := range []<-chan answer{leader, follower} {
					got := <-waiter
					got.mustBe(t, onlyonce.StatusReplayed, "#1")

					if late := got.at.Sub(began) - 5*time.Second; late > 500*time.Millisecond || name == "notifying" && late > 0 {
						t.Errorf("the answer was learned %v late", late)
					}
				}

				(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
				p.mustHaveRun(t, 1)

				if n, most := s.count(opClaim), map[string]int{"notifying": 8, "polling": 30}[name]; n > most {
					t.Errorf("the wait cost %d claims, want at most %d", n, most)
				}
			})
		})
	}
}

func TestWaitSurvivesALostNotification(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		first := newEngine(t, s.mem)
		second := newEngine(t, silentStore{s})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

		synctest.Wait()
		began := time.Now()
		do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")

		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("the answer was learned after %v, want 5s and a poll", took)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")

		if n := s.count(opClaim); n > 8 {
			t.Errorf("the wait cost %d claims although the store notifies", n)
		}
	})
}

// The run ends after the waiter has read the record and before its watch begins: nothing will notify it.
func TestWaitSeesARunThatEndsBeforeItsWatchBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := notifying(t, newFaultStore())
		first, second := newEngine(t, s.mem), newEngine(t, s)
		finish := make(chan struct{})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), func(ctx context.Context) ([]byte, error) {
			<-finish

			return p.do(ctx)
		})

		s.before = sync.OnceFunc(func() {
			close(finish)
			(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		})

		synctest.Wait()

		began := time.Now()
		do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")

		if took := time.Since(began); took != 0 {
			t.Errorf("the answer was learned %v late", took)
		}
	})
}

// silentStore notifies of nothing.
type silentStore struct{ *faultStore }

func (s silentStore) Capabilities() store.Capabilities {
	can := s.faultStore.Capabilities()
	can.Notifier = s

	return can
}

func (silentStore) Watch(store.Key) (<-chan struct{}, func()) { return make(chan struct{}), func() {} }

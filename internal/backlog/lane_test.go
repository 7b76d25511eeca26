package backlog_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/backlog"
)

func TestF64PartThatIsDownDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backlog.Backlog

		addHanging(&b, "down", 200)
		time.Sleep(10 * time.Minute)
		addHanging(&b, "down", 200)
		synctest.Wait() // there is no room in its lane

		if took := timed(&b, "healthy", written); took != 0 {
			t.Errorf("a task of a healthy part took %v, want none", took)
		}

		if took := timed(&b, "healthy", failing(2)); took > 150*time.Millisecond {
			t.Errorf("a task of a healthy part took %v, want its own two delays, at most 150ms", took)
		}

		if lost := b.Stop(); lost != 400 {
			t.Errorf("%d tasks lost, want 400", lost)
		}
	})
}

// A store that does not tell its parts has one lane for all tasks.
func TestF64TasksThatHangDoNotHoldUpAFreshOneOfTheirLane(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		after, within time.Duration
	}{
		"right behind a burst": {0, 2 * time.Second}, // one try of those that hang
		"once all have failed": {10 * time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b backlog.Backlog

				addHanging(&b, "", 200)
				synctest.Wait()
				time.Sleep(tt.after)

				if took := timed(&b, "", written); took > tt.within {
					t.Errorf("a fresh task took %v, want at most %v", took, tt.within)
				}

				if lost := b.Stop(); lost != 200 {
					t.Errorf("%d tasks lost, want 200", lost)
				}
			})
		})
	}
}

// Whose first try has failed by chance is in one lane with those that hang for ever.
func TestF64TasksThatHangDoNotHoldUpOneThatHasFailedForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backlog.Backlog

		addHanging(&b, "", 200)
		time.Sleep(10 * time.Minute)

		if took := timed(&b, "", failing(1)); took > 26*7*time.Second {
			t.Errorf("it took %v, want at most one round of all tasks, eight at a time", took)
		}

		b.Stop()
	})
}

func TestF64FirstOfABurstIsTriedHoweverManyCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backlog.Backlog

		addHanging(&b, "", 100)
		synctest.Wait() // there is no room

		done := make(chan struct{})
		began := time.Now()
		b.Add(backlog.Task{Write: written, Done: func(error) { close(done) }})

		flood := time.NewTicker(50 * time.Millisecond)
		defer flood.Stop()

		for waiting := true; waiting; {
			select {
			case <-flood.C:
				addHanging(&b, "", 2)
			case <-done:
				waiting = false
			}
		}

		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it took %v, want no more than the tries of those before it, eight for every two seconds", took)
		}

		b.Stop()
	})
}

func TestTaskThatCanNeverBeWrittenDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backlog.Backlog

		for range 3 {
			b.Add(backlog.Task{Write: broken})
		}

		time.Sleep(time.Minute) // their delays are long by now

		for range 20 {
			if took := timed(&b, "", failing(1)); took > time.Second {
				t.Errorf("another task took %v, want a few short delays", took)
			}
		}

		mustHold(t, &b, 3, false)
		b.Stop()
	})
}

func TestTasksThatFailAreTriedInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			b     backlog.Backlog
			tries [100]atomic.Int32
		)

		for i := range tries {
			b.Add(backlog.Task{Write: func(context.Context) error {
				tries[i].Add(1)

				return errLine
			}})
		}

		time.Sleep(10 * time.Minute)

		least, most := tries[0].Load(), tries[0].Load()
		for i := range tries {
			least, most = min(least, tries[i].Load()), max(most, tries[i].Load())
		}

		if least < 10 || most-least > 1 {
			t.Errorf("some tasks had %d tries and others %d", least, most)
		}

		b.Stop()
	})
}

func TestStoreIsNotFloodedWithTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			b                 backlog.Backlog
			now, most, firsts atomic.Int32
		)

		for range 1000 {
			first := true

			b.Add(backlog.Task{Write: func(ctx context.Context) error {
				for n := now.Add(1); ; {
					if seen := most.Load(); n <= seen || most.CompareAndSwap(seen, n) {
						break
					}
				}
				defer now.Add(-1)

				if first {
					firsts.Add(1)

					first = false
				}

				return hanging(ctx)
			}})
		}

		time.Sleep(1000 / 16 * 2 * time.Second)

		if n := firsts.Load(); n < 900 {
			t.Errorf("%d of 1000 tasks were tried when there was time for sixteen at a time", n)
		}

		time.Sleep(10 * time.Minute)

		if n := most.Load(); n > 16+8 {
			t.Errorf("%d tries at a time, want at most 16 fresh ones and 8 others", n)
		}

		b.Stop()
	})
}

// A store that is back takes everything without further delays.
func TestBacklogIsWrittenSoonAfterTheStoreIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			b    backlog.Backlog
			down atomic.Bool
		)

		down.Store(true)

		for range 1000 {
			b.Add(backlog.Task{Write: func(ctx context.Context) error {
				if down.Load() {
					return hanging(ctx)
				}

				return nil
			}})
		}

		time.Sleep(10 * time.Minute)
		down.Store(false)

		began := time.Now()
		if lost := b.Drain(t.Context()); lost != 0 || time.Since(began) > 7*time.Second {
			t.Errorf("%d tasks lost, drained after %v; want none, after one delay and one try", lost, time.Since(began))
		}
	})
}

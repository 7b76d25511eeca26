package backlog_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/backlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errLine  = errors.New("the line is broken")
	errFinal = errors.New("the record is damaged")
)

func written(context.Context) error { return nil }
func broken(context.Context) error  { return errLine }

// hanging is a try of which nobody hears before its timeout.
func hanging(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()

	<-ctx.Done()

	return ctx.Err()
}

// failing fails so many times.
func failing(times int32) func(context.Context) error {
	var tries atomic.Int32

	return func(context.Context) error {
		if tries.Add(1) <= times {
			return errLine
		}

		return nil
	}
}

func addHanging(b *backlog.Backlog, part string, n int) {
	for range n {
		b.Add(backlog.Task{Part: part, Write: hanging})
	}
}

// timed adds a task and returns how long it takes until the task is done.
func timed(b *backlog.Backlog, part string, write func(context.Context) error) time.Duration {
	began, done := time.Now(), make(chan time.Duration, 1)
	b.Add(backlog.Task{Part: part, Write: write, Done: func(error) { done <- time.Since(began) }})

	return <-done
}

func mustHold(t *testing.T, b *backlog.Backlog, tasks int, full bool) {
	t.Helper()

	if n := b.Len(); n != tasks {
		t.Errorf("%d tasks, want %d", n, tasks)
	}

	if b.Full() != full {
		t.Errorf("Full is %t with %d tasks", !full, tasks)
	}

	synctest.Wait() // for the worker that has done the last one

	if n := b.Lanes(); n > tasks {
		t.Errorf("%d lanes for %d tasks", n, tasks)
	}
}

func TestTaskIsTriedUntilItIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			b     backlog.Backlog
			tries []time.Time
			calls int
		)

		write := failing(10)
		b.Add(backlog.Task{
			Write: func(ctx context.Context) error {
				tries = append(tries, time.Now())

				return write(ctx)
			},
			Done: func(err error) {
				calls++

				if err != nil {
					t.Error(err)
				}
			},
		})

		if lost := b.Drain(t.Context()); lost != 0 || calls != 1 || len(tries) != 11 {
			t.Fatalf("%d tasks lost, %d calls of Done, %d tries", lost, calls, len(tries))
		}

		mustHold(t, &b, 0, false)

		delay := 50 * time.Millisecond

		for i, at := range tries[1:] {
			if got := at.Sub(tries[i]); got < delay/2 || got > delay {
				t.Errorf("try %d comes %v after the one before, want half of %v or more", i+2, got, delay)
			}

			delay = min(2*delay, 5*time.Second)
		}
	})
}

func TestFinalErrorEndsATask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backlog.Backlog

		b.Init(backlog.Limits{Tasks: 1, Final: func(err error) bool { return errors.Is(err, errFinal) }})

		var got error

		b.Add(backlog.Task{
			Write: func(context.Context) error { return errFinal },
			Done:  func(err error) { got = err },
		})
		b.Add(backlog.Task{Write: written}) // nobody wants to know

		if lost := b.Drain(t.Context()); lost != 0 || !errors.Is(got, errFinal) {
			t.Errorf("%d tasks lost, Done was called with %v", lost, got)
		}

		mustHold(t, &b, 0, false)
	})
}

func TestF64BacklogIsBoundedByCountAndByBytes(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		limits     backlog.Limits
		size, full int // how many tasks of that size make it full; 0 for none
	}{
		"count":                {backlog.Limits{Tasks: 5}, 1_000_000, 5},
		"bytes":                {backlog.Limits{Bytes: 1000}, 400, 3},
		"bytes, exactly":       {backlog.Limits{Bytes: 1000}, 500, 2},
		"count before bytes":   {backlog.Limits{Tasks: 2, Bytes: 1000}, 10, 2},
		"bytes before count":   {backlog.Limits{Tasks: 100, Bytes: 1000}, 250, 4},
		"no bound":             {backlog.Limits{}, 1_000_000, 0},
		"more than 2 GiB each": {backlog.Limits{Bytes: 5 << 30}, 2 << 30, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var (
					b    backlog.Backlog
					down atomic.Bool
				)

				b.Init(tt.limits)
				down.Store(true)

				for i := range 10 {
					mustHold(t, &b, i, tt.full > 0 && i >= tt.full)
					b.Add(backlog.Task{Size: tt.size, Write: func(ctx context.Context) error {
						if down.Load() {
							return broken(ctx)
						}

						return nil
					}})
				}

				down.Store(false)

				if lost := b.Drain(t.Context()); lost != 0 {
					t.Errorf("%d tasks are lost", lost)
				}

				mustHold(t, &b, 0, false)
			})
		})
	}
}

func TestDoneMayUseTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			b     backlog.Backlog
			again atomic.Bool
		)

		b.Add(backlog.Task{Write: written, Done: func(error) {
			if n := b.Len(); n != 0 {
				t.Errorf("%d tasks are left when the only one is done", n)
			}

			b.Add(backlog.Task{Write: failing(3), Done: func(error) { again.Store(true) }})
		}})

		if lost := b.Drain(t.Context()); lost != 0 || !again.Load() {
			t.Errorf("Drain did not wait for the task that another has added; %d tasks are lost", lost)
		}
	})
}

func TestDrainWaitsForDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backlog.Backlog

		b.Add(backlog.Task{Write: written, Done: func(error) { time.Sleep(time.Minute) }})

		began := time.Now()
		if lost := b.Drain(t.Context()); lost != 0 || time.Since(began) != time.Minute {
			t.Errorf("Drain returned %d after %v", lost, time.Since(began))
		}

		if lost := b.Drain(t.Context()); lost != 0 {
			t.Errorf("a Drain of nothing lost %d tasks", lost)
		}

		b.Add(backlog.Task{Write: written}) // a drained backlog works on
		b.Drain(t.Context())
		mustHold(t, &b, 0, false)
	})
}

func TestDrainThatRunsOutOfTimeLosesTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			b    backlog.Backlog
			done atomic.Int32
		)

		b.Init(backlog.Limits{Tasks: 10, Bytes: 100})

		for _, write := range []func(context.Context) error{written, failing(2), broken, hanging, broken} {
			b.Add(backlog.Task{Size: 50, Write: write, Done: func(error) { done.Add(1) }})
		}

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()

		began := time.Now()
		if lost := b.Drain(ctx); lost != 3 || done.Load() != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("%d tasks lost, %d done after %v; want 3 and 2 after 3s", lost, done.Load(), time.Since(began))
		}

		mustHold(t, &b, 0, false)

		b.Add(backlog.Task{Size: 1000, Write: func(context.Context) error {
			t.Error("a task is tried after the end")

			return nil
		}})
		mustHold(t, &b, 0, false)
		time.Sleep(time.Minute)

		if lost := b.Drain(t.Context()); lost != 0 {
			t.Errorf("a second Drain lost %d tasks", lost)
		}
	})
}

func TestStopEndsTriesUnderWayAndCountsWhatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backlog.Backlog

		for i := range 105 { // more than are tried at a time
			b.Add(backlog.Task{Part: string(rune('a' + i%2)), Write: func(ctx context.Context) error {
				if ctx.Err() != nil {
					t.Error("a task is tried after the end")
				}

				return hanging(ctx)
			}})
		}

		time.Sleep(5 * time.Second)

		began := time.Now()
		if lost := b.Stop(); lost != 105 || time.Since(began) != 0 {
			t.Errorf("Stop returned %d after %v, want 105 at once", lost, time.Since(began))
		}

		if lost := b.Stop(); lost != 0 {
			t.Errorf("a second Stop lost %d tasks", lost)
		}

		mustHold(t, &b, 0, false)
	})
}

func TestTaskThatIsWrittenWhileTheBacklogStopsIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			b    backlog.Backlog
			done bool
		)

		b.Add(backlog.Task{
			Write: func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second) // the reply is on its way

				return nil
			},
			Done: func(error) { done = true },
		})
		synctest.Wait()

		if lost := b.Stop(); lost != 0 || !done {
			t.Errorf("%d tasks lost, done is %t", lost, done)
		}
	})
}

// Every task is done once, or lost once, or was dropped.
func TestCountsHoldWhateverRaces(t *testing.T) {
	t.Parallel()

	for round := range 100 {
		synctest.Test(t, func(t *testing.T) {
			var (
				b          backlog.Backlog
				wg         sync.WaitGroup
				done, lost atomic.Int64
			)

			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(round)*10*time.Millisecond)
			defer cancel()

			for i := range 40 {
				wg.Go(func() {
					time.Sleep(time.Duration(i%5) * 100 * time.Millisecond)
					b.Add(backlog.Task{
						Part: string(rune('a' + i%3)), Size: i, Write: failing(int32(i % 4)), Done: func(error) { done.Add(1) },
					})
				})
			}

			for range 2 {
				wg.Go(func() { lost.Add(int64(b.Drain(ctx))) })
			}

			wg.Go(func() {
				<-ctx.Done()
				lost.Add(int64(b.Stop()))
			})

			time.Sleep(2 * time.Second)
			wg.Wait()
			mustHold(t, &b, 0, false)

			if sum := done.Load() + lost.Load(); sum > 40 || round == 99 && sum != 40 {
				t.Errorf("%d tasks done and %d lost, of 40", done.Load(), lost.Load())
			}
		})
	}
}

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// 16 callers read answers of 1 MiB over a slow link, for example one of 20 MB/s. A small operation waits for none of
// the answers.
func TestALargeAnswerDoesNotHoldUpSmallOperationsOnASlowLink(t *testing.T) {
	t.Parallel()

	for _, mbps := range []int{5, 20, 100} {
		t.Run(fmt.Sprintf("%d MB in a second", mbps), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { smallBesideLarge(t, mbps*1_000_000) })
		})
	}
}

func smallBesideLarge(t *testing.T, second int) {
	t.Helper()

	k := newLink()
	k.second, k.latency = second, 200*time.Microsecond
	k.size = func(name string) int {
		if strings.HasPrefix(name, "large") {
			return 1 << 20
		}

		return 300
	}

	b := k.batcher(t, nil)
	ctx, cancel := context.WithCancel(t.Context())

	var callers sync.WaitGroup

	for range 16 {
		callers.Go(func() {
			for ctx.Err() == nil {
				_ = get(ctx, b, "large", 500*time.Millisecond)
			}
		})
	}

	failed := 0

	for i := range 60 {
		time.Sleep(20 * time.Millisecond)

		if err := get(ctx, b, "small", 500*time.Millisecond); err != nil {
			t.Logf("small operation %d: %v", i, err)

			failed++
		}
	}

	cancel()
	callers.Wait()

	// The first one may be in the batch that is the first to have large answers.
	if failed > 1 {
		t.Errorf("%d of 60 small operations have failed", failed)
	}
}

// Large answers may have held the batch up, and no answer shows it.
func TestAfterABatchThatWasLateSomeReadsGoAlone(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct{ together, want int }{
		"reads that went together": {8, readsAfterLate}, "a read that went alone": {1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := newLink()
				k.latency = time.Millisecond
				k.hangs = func(name string) bool { return name == "dead" }
				b := k.batcher(t, nil)

				var callers sync.WaitGroup

				if tt.together > 1 { // they wait for it, and go together
					callers.Go(func() { _ = get(t.Context(), b, "n", time.Second) })
					synctest.Wait()
				}

				for range tt.together {
					callers.Go(func() {
						if err := get(t.Context(), b, "dead", 500*time.Millisecond); !late(err) {
							t.Error(err)
						}
					})
				}

				callers.Wait()
				time.Sleep(time.Second) // the batch is over

				alone := func() int {
					l := &b.servers.only

					l.mu.Lock()
					defer l.mu.Unlock()

					return l.afterLate
				}

				if n := alone(); n != tt.want {
					t.Errorf("%d reads go alone, want %d", n, tt.want)
				}

				for range readsAfterLate {
					if err := get(t.Context(), b, "n", time.Second); err != nil {
						t.Error(err)
					}
				}

				if n := alone(); n != 0 {
					t.Errorf("after some answers %d reads go alone still", n)
				}
			})
		})
	}
}

func TestAWaitingOperationKeepsItsDeadline(t *testing.T) {
	t.Parallel()

	for name, client := range map[string]func(k *link) redis.UniversalClient{
		"a client that heeds contexts": func(k *link) redis.UniversalClient { return redis.NewClient(k.options()) },
		"a cluster":                    func(k *link) redis.UniversalClient { return k.cluster() },
		"a patient client": func(k *link) redis.UniversalClient {
			o := k.options()
			o.ContextTimeoutEnabled, o.ReadTimeout = false, -1

			return redis.NewClient(o)
		},
		"a client that sets no deadline": func(k *link) redis.UniversalClient {
			o := k.options()
			o.ReadTimeout = -2

			return redis.NewClient(o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := newLink()
				k.hangs = func(string) bool { return true }
				b := k.batcher(t, client(k))
				began := time.Now()

				var callers sync.WaitGroup

				for i := range 200 {
					timeout := time.Duration(1+i*7%300) * time.Millisecond

					callers.Go(func() {
						err := get(t.Context(), b, "n", timeout)
						if took := time.Since(began); !late(err) || took != timeout {
							t.Errorf("an operation with a timeout of %v: %v after %v", timeout, err, took)
						}
					})
				}

				callers.Wait()
			})
		})
	}
}

func TestAnOperationWhoseCallerHasGoneIsNeverSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newLink()
		k.latency = 10 * time.Millisecond
		b := k.batcher(t, nil)

		var callers sync.WaitGroup

		for i := range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			name := fmt.Sprintf("n%d", i)

			callers.Go(func() {
				err := get(ctx, b, name, time.Second)
				if gone := i%2 == 1; gone != errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", name, err)
				}
			})
			synctest.Wait() // the first is under way, and the others wait

			if i%2 == 1 {
				cancel()
				synctest.Wait()
			}

			t.Cleanup(cancel)
		}

		callers.Wait()

		for i := range 100 {
			if got, want := k.seen(fmt.Sprintf("n%d", i)), 1-i%2; got != want {
				t.Errorf("operation %d was sent %d times, want %d", i, got, want)
			}
		}
	})
}

// inTurn returns the time that so many callers take for so many operations each.
func inTurn(t *testing.T, k *link, callers, rounds int) (took time.Duration, most int) {
	t.Helper()

	b := k.batcher(t, nil)
	began := time.Now()

	var all sync.WaitGroup

	for range callers {
		all.Go(func() {
			for range rounds {
				if err := get(t.Context(), b, "n", 10*time.Second); err != nil {
					t.Error(err)
				}

				b.servers.only.mu.Lock()
				most = max(most, len(b.servers.only.flights))
				b.servers.only.mu.Unlock()
			}
		})
	}

	all.Wait()

	return time.Since(began), most
}

func TestMoreThanOneBatchIsUnderWayOnASlowNetworkOnly(t *testing.T) {
	t.Parallel()

	const rounds = 40

	for _, tt := range []struct {
		latency time.Duration
		callers int
		several bool
	}{
		{50 * time.Microsecond, 64, false},
		{500 * time.Microsecond, 64, false},
		{5 * time.Millisecond, worthAnother, false},
		{5 * time.Millisecond, 40, true},
		{20 * time.Millisecond, 64, true},
	} {
		t.Run(fmt.Sprintf("%v, %d callers", tt.latency, tt.callers), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := newLink()
				k.latency = tt.latency

				took, most := inTurn(t, k, tt.callers, rounds)
				if tt.several != (most > 1) {
					t.Errorf("%d batches were under way at once", most)
				}

				// With one batch under way, each operation waits for another batch before its own.
				if tt.several && took >= 2*rounds*tt.latency {
					t.Errorf("%d rounds took %v", rounds, took)
				}
			})
		})
	}
}

func TestABatchThatHasStalledIsPassedByTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newLink()
		k.hangs = func(name string) bool { return strings.HasPrefix(name, "dead") }
		b := k.batcher(t, nil)

		var dead sync.WaitGroup

		for i := range maxFlights - 1 {
			dead.Go(func() {
				if err := get(t.Context(), b, fmt.Sprintf("dead%d", i), time.Minute); !late(err) {
					t.Error(err)
				}
			})
			time.Sleep(2 * stalled)
		}

		for range 100 {
			began := time.Now()

			if err := get(t.Context(), b, "n", time.Minute); err != nil || time.Since(began) > stalled {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		}

		dead.Wait()
	})
}

// panicking is a hook that panics for one name.
type panicking struct{}

func (panicking) DialHook(next redis.DialHook) redis.DialHook { return next }

func (panicking) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if slices.Contains(cmd.Args(), any("mine")) {
			panic("the hook")
		}

		return next(ctx, cmd)
	}
}

func (panicking) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A program may recover the panics of its hooks. They must not occupy the lane.
func TestOperationInWhichAHookPanicsIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newLink()
		client := redis.NewClient(k.options())
		client.AddHook(panicking{})

		b := k.batcher(t, client)

		for range maxFlights {
			func() {
				defer func() { _ = recover() }()

				_ = get(t.Context(), b, "mine", time.Second)
			}()

			time.Sleep(stalled) // the next operation is the first again
		}

		if !b.servers.only.idle() {
			t.Error("the lane is occupied")
		}

		if err := get(t.Context(), b, "other", time.Second); err != nil {
			t.Error(err)
		}
	})
}

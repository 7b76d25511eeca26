//go:build unix

package crash

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

const (
	// killedServers is how many servers leave records. together is the number of concurrent calls on a server.
	killedServers, together = 4, 25
	// settlePatience is how long the reconcilers may take.
	settlePatience = 4 * time.Minute
)

func unsettledKey(i int) string { return fmt.Sprintf("unsettled-%04d", i) }

// isCharged reports whether the effect of a key has happened when its server is killed: true for every other key.
func isCharged(i int) bool { return i%2 == 0 }

// hasDuplicates reports whether callers retry a key.
func hasDuplicates(i int) bool { return i%4 < 2 }

// killedInMidHandler leaves unsettled records.
func (w *world) killedInMidHandler(t *testing.T) {
	t.Helper()

	var inside atomic.Int64

	gate := make(chan struct{})
	release := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)

	w.watch(func(v Visit) {
		var i int

		if _, err := fmt.Sscanf(v.Key, "unsettled-%d", &i); err != nil || !strings.HasPrefix(v.Server, "killed") {
			return
		}

		if v.At == atCharged && isCharged(i) || v.At == atHandler && !isCharged(i) {
			inside.Add(1)
			<-gate
		}
	})

	brief := onlyonce.Policy{Guarantee: onlyonce.AtMostOnce, Lease: 5 * time.Second, MaxRun: 10 * time.Second}

	for i := 0; i < *unsettled; {
		killed := w.start(t, serverConfig{Name: fmt.Sprintf("killed-%d", i), Policy: brief})
		caller := killed.dial(t)

		for end := i + *unsettled/killedServers; i < end; {
			for range together {
				caller.insist(t.Context(), unsettledKey(i)) // the answer is not needed

				i++
			}

			eventually(t, "all calls are in their handlers", func() bool { return inside.Load() == int64(i) })
		}

		killed.kill()
	}

	w.watch(nil)
	release()

	// The index may lack the claims that a server made just before it died.
	records, ok := w.kept.records.(*redisstore.Store)
	if !ok {
		t.Fatalf("the records are in a %T", w.kept.records)
	}

	if _, err := records.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// retryAll repeats the calls of the duplicates until they have an answer.
func (w *world) retryAll(t *testing.T, callers ...client) {
	t.Helper()

	var trying sync.WaitGroup

	for n := range 2 * len(callers) {
		trying.Go(func() {
			for i := n; i < *unsettled; i += 2 * len(callers) {
				for begun := time.Now(); hasDuplicates(i) && time.Since(begun) < settlePatience; {
					if callers[n/2].pay(t, unsettledKey(i)).err == nil {
						break
					}

					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}

	trying.Wait()
}

// open counts the unsettled records. A running record may become unknown, so running records are counted first.
func (w *world) open(t *testing.T) (n int) {
	t.Helper()

	for _, list := range []func(context.Context) iter.Seq2[onlyonce.Record, error]{w.operator.ListRunning, w.operator.ListUnknown} {
		for _, err := range list(t.Context()) {
			if err != nil {
				t.Fatalf("listing records: %v", err)
			}

			n++
		}
	}

	return n
}

func TestF49ReconcilersOfTwoProcessesSettleWhatKilledServersLeave(t *testing.T) {
	t.Parallel()

	w := newWorld(t, inRedis)
	w.killedInMidHandler(t)

	config := serverConfig{Name: "first", Policy: sound(onlyonce.AtMostOnce), Recovers: true, Reconciles: true}
	first := w.start(t, config).dial(t)

	config.Name = "second"
	second := w.start(t, config).dial(t)

	w.retryAll(t, first, second)

	for begun := time.Now(); w.open(t) > 0; time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > settlePatience {
			t.Fatalf("%d records are not settled", w.open(t))
		}
	}

	byRecovery := 0

	for i := range *unsettled {
		key := unsettledKey(i)
		rec := w.record(t, key)

		runs, effects, state := 1, 1, store.Completed

		switch {
		case !isCharged(i) && hasDuplicates(i): // released, and run by a duplicate
			runs = 2
		case !isCharged(i):
			effects, state = 0, store.Released
		}

		w.mustHave(t, key, runs, effects)

		if rec.State != state {
			t.Errorf("the record of %s is %v, want %v", key, rec.State, state)
		}

		if rec.SettledBy == "recovery function" {
			byRecovery++
		}
	}

	if want := *unsettled * 3 / 4; byRecovery != want {
		t.Errorf("%d records say that a recovery function has settled them, want %d", byRecovery, want)
	}
}

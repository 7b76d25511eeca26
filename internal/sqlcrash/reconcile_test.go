//go:build unix

package sqlcrash

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// killedServers is how many servers leave records. together is the number of concurrent calls on a server.
	killedServers, together = 4, 25
)

func unsettledKey(i int) string { return fmt.Sprintf("unsettled-%04d", i) }

// isWritten reports whether the effect of a key has happened when its server is killed: true for every other server.
func isWritten(i int) bool { return i/(*unsettled/killedServers)%2 == 0 }

// hasDuplicates reports whether callers retry a key.
func hasDuplicates(i int) bool { return i%2 == 0 }

// killedInMidHandler leaves unsettled records.
func (w *world) killedInMidHandler(t *testing.T) {
	t.Helper()

	config := serverConfig{
		Policy: onlyonce.Policy{Lease: 5 * time.Second, MaxRun: 10 * time.Second}, Outside: true, ParksAll: true,
	}

	for i := 0; i < *unsettled; {
		config.ParkAt = atHandler
		if isWritten(i) {
			config.ParkAt = atWritten
		}

		killed := w.start(t, config)

		for end := i + *unsettled/killedServers; i < end; {
			begun := i

			for range together {
				killed.insist(context.WithoutCancel(t.Context()), single, unsettledKey(i)) // the answer is not needed

				i++
			}

			eventually(t, "all calls are in their handlers", func() bool {
				for key := begun; key < i; key++ {
					if w.seen(config.ParkAt, unsettledKey(key)) == 0 {
						return false
					}
				}

				return true
			})
		}

		killed.kill()
	}
}

// tryAgain repeats the calls of the duplicates until they have an answer.
func (w *world) tryAgain(t *testing.T, servers ...*process) {
	t.Helper()

	var trying sync.WaitGroup

	for n, server := range servers {
		trying.Go(func() {
			for i := n; i < *unsettled; i++ {
				for begun := time.Now(); hasDuplicates(i) && time.Since(begun) < patience; {
					if server.take(t, single, unsettledKey(i)).err == nil {
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
	each(t, kinds[:1], func(t *testing.T, k kind) {
		t.Helper()

		w := newWorld(t, k)
		w.killedInMidHandler(t)

		config := serverConfig{Policy: sound(), Outside: true, Recovers: true, Reconciles: true}
		w.tryAgain(t, w.start(t, config), w.start(t, config))

		eventually(t, "every record is settled", func() bool { return w.open(t) == 0 })

		rows, byRecovery := w.rows(t), 0

		for i := range *unsettled {
			key := unsettledKey(i)
			rec := w.record(t, single, key)

			runs, effects, state := 1, 1, store.Completed

			switch {
			case !isWritten(i) && hasDuplicates(i): // released, and run by a duplicate
				runs = 2
			case !isWritten(i):
				effects, state = 0, store.Released
			}

			if n := w.seen(atHandler, key); n != runs || len(rows[key]) != effects || rec.State != state {
				t.Errorf("%s: %d runs, %d effects and %v; want %d, %d and %v", key, n, len(rows[key]), rec.State, runs, effects, state)
			}

			if rec.SettledBy == "recovery function" {
				byRecovery++
			}
		}

		if want := *unsettled * 3 / 4; byRecovery != want {
			t.Errorf("%d records say that a recovery function has settled them, want %d", byRecovery, want)
		}
	})
}

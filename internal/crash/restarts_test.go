//go:build unix

package crash

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// Two callers of every key at the same time, while servers are killed and started again; and one more caller of every key
// in peace.
const (
	restartKeysPerKill = 6
	restartCallers     = 2
	restartWorkers     = 6
)

func TestF01F03F05ServersAreKilledAndRestarted(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
				t.Run(guarantee.String(), func(t *testing.T) {
					t.Parallel()

					w := newWorld(t, on)
					policy := mortal(guarantee)
					policy.MaxAttempts = *kills + 1
					policy.MaxWait = time.Second

					f := newFleet(t, w, serverConfig{Policy: policy, Deduplicated: guarantee.TakeoverAllowed()}, *kills)
					client := f.dial(t)
					answers := payAll(t, client)

					f.peace(t)

					unknown := 0

					for key, got := range answers {
						got = append(got, client.pay(t, key))
						w.mustBeTrue(t, key, got)

						if got[len(got)-1].err != nil {
							unknown++
						}
					}

					t.Logf("%d kills in %d visits, %d of %d outcomes are unknown", *kills, f.counted(), unknown, len(answers))

					if unknown > 0 && guarantee.TakeoverAllowed() {
						t.Errorf("%d outcomes are unknown although others may take over", unknown)
					}
				})
			}
		})
	}
}

// payAll returns the answers of the callers of each key.
func payAll(t *testing.T, client client) map[string][]answer {
	t.Helper()

	var (
		mu      sync.Mutex
		answers = make(map[string][]answer)
		keys    = make(chan string)
		workers sync.WaitGroup
	)

	pay := func(key string) {
		var callers sync.WaitGroup
		defer callers.Wait()

		for range restartCallers {
			callers.Go(func() {
				got := client.call(t.Context(), key, payment())

				mu.Lock()
				defer mu.Unlock()

				answers[key] = append(answers[key], got)
			})
		}
	}

	for range restartWorkers {
		workers.Go(func() {
			for key := range keys {
				pay(key)
			}
		})
	}

	for n := range *kills * restartKeysPerKill {
		keys <- fmt.Sprintf("key-%d", n)
	}

	close(keys)
	workers.Wait()

	return answers
}

// mustBeTrue checks that all answers for a key were correct. The last answer comes without faults.
func (w *world) mustBeTrue(t *testing.T, key string, answers []answer) {
	t.Helper()

	rec := w.record(t, key)
	effects := len(w.charged(key))

	if effects > 1 {
		t.Errorf("the effect of %s happened %d times", key, effects)
	}

	if runs := len(w.seen(atHandler, key)); runs > 1 && !rec.Guarantee.TakeoverAllowed() {
		t.Errorf("the handler of %s ran %d times", key, runs)
	}

	var first *answer

	for i := range answers {
		got := &answers[i]

		switch {
		case got.err != nil:
			// The handler has no errors, so no caller may learn of another final answer, or that nothing happened.
			if outcome := onlyonce.VerdictOf(got.err); outcome != onlyonce.VerdictUnknown || got.reason() != onlyonce.ReasonOutcomeUnknown {
				t.Errorf("a caller of %s was told %v: %v", key, outcome, got.err)
			}
		case first == nil:
			first = got
		default:
			got.mustEqual(t, *first)
		}
	}

	last := &answers[len(answers)-1]

	if first != nil && (effects != 1 || rec.State != store.Completed || last.err != nil) {
		t.Errorf("a caller of %s got a response: %d effects, the record is %v, the last caller got %v", key, effects, rec.State, last.err)
	}

	if first == nil && (!rec.Unknown || w.ownerLives(key)) {
		t.Errorf("no caller of %s got a response; the record is %v, its owner lives: %t", key, rec.State, w.ownerLives(key))
	}
}

// ownerLives reports whether a server that has claimed a key has not been killed.
func (w *world) ownerLives(key string) bool {
	claims := w.seen(atClaimed, key)

	w.mu.Lock()
	defer w.mu.Unlock()

	return slices.ContainsFunc(w.processes, func(p *process) bool {
		return !p.isEnded() && slices.ContainsFunc(claims, func(v Visit) bool { return v.Server == p.name })
	})
}

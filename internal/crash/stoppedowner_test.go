//go:build unix

package crash

import (
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// stopped is a run whose process was stopped after the effect, for longer than its lease.
type stopped struct {
	*parkedCall

	owner *process
}

// stop makes a call with theKey and stops its server.
func (w *world) stop(t *testing.T, owner *process) stopped {
	t.Helper()

	s := stopped{w.parkAt(t, owner.name, owner.dial(t), atCharged, theKey), owner}
	owner.signal(t, syscall.SIGSTOP)
	w.waitUnsettled(t, theKey) // a process that runs renews its lease

	return s
}

// resume continues the owner, and returns its caller's answer.
func (s stopped) resume(t *testing.T) answer {
	t.Helper()

	s.release()
	s.owner.signal(t, syscall.SIGCONT)

	return s.finish(t)
}

func TestF16StoppedPastTheLeaseAndOvertaken(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			begin := func(t *testing.T) (*world, stopped, client) {
				t.Helper()

				w := newWorld(t, on)
				first := w.start(t, serverConfig{Name: "first", Policy: mortal(onlyonce.AtLeastOnce), Deduplicated: true})
				second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtLeastOnce), Deduplicated: true})

				owner := w.stop(t, first)

				return w, owner, second.dial(t)
			}

			t.Run("its caller gets the winner's outcome", func(t *testing.T) {
				t.Parallel()

				w, owner, second := begin(t)

				winner := second.pay(t, theKey)
				winner.mustSay(t, onlyonce.StatusExecuted)
				won := w.mustBe(t, theKey, store.Completed)

				late := owner.resume(t)
				late.mustSay(t, onlyonce.StatusReplayed)
				late.mustEqual(t, winner)

				now := w.record(t, theKey)
				now.LookedUpAt = won.LookedUpAt

				if diff := cmp.Diff(won, now); diff != "" {
					t.Errorf("the late owner has changed the record (-before +after):\n%s", diff)
				}

				w.mustHave(t, theKey, 2, 1)
			})

			t.Run("its caller is told to retry while there is no outcome", func(t *testing.T) {
				t.Parallel()

				w, owner, second := begin(t)

				winner := w.parkAt(t, "second", second, atHandler, theKey)
				before := w.mustBe(t, theKey, store.Running)
				owner.resume(t).mustReject(t, onlyonce.ReasonLeaseLost)

				if rec := w.mustBe(t, theKey, store.Running); rec.Token != before.Token || rec.Fence != before.Fence {
					t.Errorf("the late owner has changed the record: %+v, want %+v", rec, before)
				}

				winner.release()

				won := winner.finish(t)
				won.mustSay(t, onlyonce.StatusExecuted)

				retry := owner.owner.dial(t).pay(t, theKey)
				retry.mustSay(t, onlyonce.StatusReplayed)
				retry.mustEqual(t, won)
				w.mustHave(t, theKey, 2, 1)
			})
		})
	}
}

func TestF17LateOwnerSettlesTheUnknownOutcome(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			for name, maxRun := range map[string]time.Duration{
				"within MaxRun, when it may renew its lease":     2 * patience,
				"after MaxRun, when it cannot renew it any more": 2 * shortLease,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()

					w := newWorld(t, on)
					policy := mortal(onlyonce.AtMostOnce)
					policy.MaxRun = maxRun
					first := w.start(t, serverConfig{Name: "first", Policy: policy})
					second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtMostOnce)}).dial(t)

					owner := w.stop(t, first)
					second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)

					if maxRun < patience {
						over := w.record(t, theKey).OwnerAliveUntil
						eventually(t, "the owner's time is over", func() bool { return time.Now().After(over) })
					}

					late := owner.resume(t)
					late.mustSay(t, onlyonce.StatusExecuted)

					if rec := w.mustBe(t, theKey, store.Completed); rec.Resolved {
						t.Error("the record says that somebody else than its owner has settled it")
					}

					duplicate := second.pay(t, theKey)
					duplicate.mustSay(t, onlyonce.StatusReplayed)
					duplicate.mustEqual(t, late)
					w.mustHave(t, theKey, 1, 1)
				})
			}
		})
	}
}

func TestF17F59LateOwnerAnswersWhatAnOperatorHasResolved(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, on)
			first := w.start(t, serverConfig{Name: "first", Policy: mortal(onlyonce.AtMostOnce)})
			second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtMostOnce)}).dial(t)

			owner := w.stop(t, first)
			resolved := answer{resp: &pb.SimpleResponse{Username: w.charged(theKey)[0] + ", found by the operator"}}
			w.resolveAsExecuted(t, w.record(t, theKey), resolved)

			for _, got := range []answer{second.pay(t, theKey), owner.resume(t), second.pay(t, theKey), first.dial(t).pay(t, theKey)} {
				got.mustSay(t, onlyonce.StatusReplayed)
				got.mustEqual(t, resolved)
			}

			if rec := w.mustBe(t, theKey, store.Completed); !rec.Resolved {
				t.Error("the late owner has settled what an operator had resolved")
			}

			w.mustHave(t, theKey, 1, 1)
		})
	}
}

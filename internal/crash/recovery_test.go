//go:build unix

package crash

import (
	"testing"

	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestF04KilledAfterTheHandlerBeforeTheRecord(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
				t.Run(guarantee.String()+": a recovery function finds the effect", func(t *testing.T) {
					t.Parallel()

					w := newWorld(t, on)
					first := w.start(t, serverConfig{Name: "first", Policy: mortal(guarantee)})
					second := w.start(t, serverConfig{Name: "second", Policy: sound(guarantee), Recovers: true}).dial(t)

					w.killAt(t, first, atReturned, payment())

					want := answer{resp: &pb.SimpleResponse{Username: recoveredAnswer(w.charged(theKey)[0], "second")}}

					for range 2 {
						got := second.pay(t, theKey)
						got.mustSay(t, onlyonce.StatusReplayed)
						got.mustEqual(t, want)
					}

					w.mustHave(t, theKey, 1, 1)
				})
			}

			t.Run("AT_LEAST_ONCE: without one it runs again, and its provider does not", func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, on)
				first := w.start(t, serverConfig{Name: "first", Policy: mortal(onlyonce.AtLeastOnce), Deduplicated: true})
				second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtLeastOnce), Deduplicated: true}).dial(t)

				w.killAt(t, first, atReturned, payment())
				second.pay(t, theKey).mustSay(t, onlyonce.StatusExecuted)
				second.pay(t, theKey).mustSay(t, onlyonce.StatusReplayed)
				w.mustHave(t, theKey, 2, 1)
			})

			// The recovery function of this test always reports that nothing happened, which cannot be known at first.
			t.Run("AT_MOST_ONCE: not finding the effect counts only when the owner's time is over", func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, on)
				brief := mortal(onlyonce.AtMostOnce)
				brief.MaxRun = 2 * shortLease
				first := w.start(t, serverConfig{Name: "first", Policy: brief})
				second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtMostOnce), Recovers: true}).dial(t)

				w.killAt(t, first, atClaimed, payment())
				dead := w.record(t, theKey)

				var got answer

				eventually(t, "the recovery function is believed", func() bool {
					got = second.pay(t, theKey)
					if got.err != nil {
						got.mustReject(t, onlyonce.ReasonOutcomeUnknown)
					}

					return got.err == nil
				})

				got.mustSay(t, onlyonce.StatusExecuted)

				if rec := w.mustBe(t, theKey, store.Completed); rec.LastStart.Before(dead.OwnerAliveUntil) {
					t.Errorf("it ran again at %v, and the owner's time was over at %v", rec.LastStart, dead.OwnerAliveUntil)
				}

				w.mustHave(t, theKey, 1, 1)
			})
		})
	}
}

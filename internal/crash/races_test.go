//go:build unix

package crash

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// Stopped runs complete exactly when another process takes them over, after the end of their leases.
func TestF18CompletionRacesTakeover(t *testing.T) {
	t.Parallel()

	const races = 60

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, on)
			policy := sound(onlyonce.AtLeastOnce)
			policy.Lease = 5 * shortLease // it has many to renew until it is stopped
			first := w.start(t, serverConfig{Name: "first", Policy: policy, Deduplicated: true})
			second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtLeastOnce), Deduplicated: true}).dial(t)
			owner := first.dial(t)

			keys := make([]string, races)
			owners := make([]*parkedCall, races)
			takers := make([]<-chan answer, races)

			for i := range races {
				keys[i] = fmt.Sprintf("race-%d", i)
				owners[i] = w.parkAt(t, "first", owner, atReturned, keys[i])
			}

			first.signal(t, syscall.SIGSTOP)

			for _, key := range keys {
				w.waitUnsettled(t, key)
			}

			first.signal(t, syscall.SIGCONT)

			// The taker has seen the ended lease, and is about to claim.
			for i, key := range keys {
				taking := w.park("second", atRefused, key)
				takers[i] = second.begin(t, key)
				taking.wait(t)

				if i%2 == 0 {
					taking.release()
					owners[i].release()
				} else {
					owners[i].release()
					taking.release()
				}
			}

			overtaken := 0

			for i, key := range keys {
				late, taker := owners[i].finish(t), finish(t, takers[i])
				last := second.pay(t, key)
				last.mustSay(t, onlyonce.StatusReplayed)
				taker.mustEqual(t, last)

				switch {
				case late.status() == onlyonce.StatusExecuted: // the owner has won
					taker.mustSay(t, onlyonce.StatusReplayed)
					late.mustEqual(t, last)
				case late.status() == onlyonce.StatusReplayed:
					taker.mustSay(t, onlyonce.StatusExecuted)
					late.mustEqual(t, last)

					overtaken++
				default:
					taker.mustSay(t, onlyonce.StatusExecuted)
					late.mustReject(t, onlyonce.ReasonLeaseLost)

					overtaken++
				}

				w.mustBe(t, key, store.Completed)
				w.mustHave(t, key, len(w.seen(atHandler, key)), 1)
			}

			t.Logf("%d of %d runs were overtaken", overtaken, races)
		})
	}
}

//go:build unix

package crash

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// longRun is the least number of successive leases of a run in this file.
const longRun = 4

// A run of several leases keeps its key by renewing them, while another process calls with the key all the time. The run ends after a
// number of renewals, not after a time.
//
// On a busy machine, renewals may be late. So a run that loses its lease is tried again with a much longer one.
func TestF19RunOfSeveralLeasesKeepsItsKeyByRenewingThem(t *testing.T) {
	t.Parallel()

	for _, on := range keepers() {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()

			for guarantee, last := range map[onlyonce.Guarantee]string{
				onlyonce.AtMostOnce:  "its outcome stays known",
				onlyonce.AtLeastOnce: "nobody takes over",
			} {
				t.Run(guarantee.String()+": "+last, func(t *testing.T) {
					t.Parallel()

					for lease := shortLease; !keepsItsKey(t, on, guarantee, lease); lease *= 4 {
						if lease > 4*time.Second {
							t.Fatalf("a run of several leases has lost its key, even with leases of %v", lease)
						}

						t.Logf("a lease of %v was lost", lease)
					}
				})
			}
		})
	}
}

// keepsItsKey makes a long run with duplicates, and reports whether the run kept its lease throughout.
func keepsItsKey(t *testing.T, on keeper, guarantee onlyonce.Guarantee, lease time.Duration) bool {
	t.Helper()

	w := newWorld(t, on)

	renewing := sound(guarantee)
	renewing.Lease = lease

	asking := sound(guarantee)
	asking.MaxWait = onlyonce.NoWait

	first := w.start(t, serverConfig{Name: "first", Policy: renewing})
	second := w.start(t, serverConfig{Name: "second", Policy: asking}).dial(t)

	owner := w.parkAt(t, "first", first.dial(t), atHandler, theKey)

	kept := true

	eventually(t, "the run has held several leases", func() bool {
		duplicate := second.pay(t, theKey)
		rec := w.record(t, theKey)

		// A higher fence would mean that the lease has ended and was revived.
		kept = duplicate.reason() == onlyonce.ReasonInProgress && rec.State == store.Running && rec.Fence == 1

		return !kept || rec.LeaseUntil.Sub(rec.LastStart) > (longRun+1)*lease
	})

	owner.release()

	ran := owner.finish(t)

	if kept {
		// Its lease may still end before it does, under AT_MOST_ONCE without any harm.
		kept = ran.status() == onlyonce.StatusExecuted && len(w.seen(atHandler, theKey)) == 1
	}

	if !kept {
		return false
	}

	duplicate := second.pay(t, theKey)
	duplicate.mustSay(t, onlyonce.StatusReplayed)
	duplicate.mustEqual(t, ran)
	w.mustHave(t, theKey, 1, 1)

	return true
}

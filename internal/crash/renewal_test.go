//go:build unix

package crash

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// longRun is how many leases a run of this file has held one after the other, at least, before it ends.
const longRun = 4

// A run that goes on for several leases keeps its key, because it renews them, while another process asks for the key all
// the time. It ends when the store has seen that many renewals, not after some time.
//
// Renewals that come too late are all right on a machine that is too busy to send them. So a run which loses its lease is
// tried again with a much longer one, and nobody loses all of them who renews.
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

// keepsItsKey makes a long run with duplicates, and reports whether it had its lease all the time.
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

		// Were the fence higher, the lease would have ended and come back.
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

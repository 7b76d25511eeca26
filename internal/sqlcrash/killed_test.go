//go:build unix

package sqlcrash

import (
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// theKey is the key of tests that need only one.
const theKey = "order-7"

// The leases are longer than any test, so a result cannot depend on their end.
func TestF01F02F04KilledInASingleTransactionLeavesNothingAndTheRetryRunsAtOnce(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		for _, at := range []point{atHandler, atWritten, atReturned} {
			t.Run(string(at), func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, k)
				first := w.start(t, serverConfig{Policy: sound(), ParkAt: at})
				second := w.start(t, serverConfig{Policy: sound()})

				first.killAt(t, single)
				w.mustBe(t, single, theKey, store.Absent)
				w.mustHave(t, theKey, 1, 0)

				got := second.take(t, single, theKey)
				got.mustSay(t, onlyonce.StatusExecuted)

				again := second.take(t, single, theKey)
				again.mustSay(t, onlyonce.StatusReplayed)
				again.mustEqual(t, got)
				w.mustBe(t, single, theKey, store.Completed)
				w.mustHave(t, theKey, 2, 1)
			})
		}
	})
}

func TestF01F02KilledBeforeAJoinedTransactionCommitsIsTakenOverAfterTheLease(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		for _, at := range []point{atHandler, atWritten} {
			t.Run(string(at), func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, k)
				first := w.start(t, serverConfig{Policy: mortal(), ParkAt: at})
				second := w.start(t, serverConfig{Policy: sound()})

				first.killAt(t, joined)
				w.mustHave(t, theKey, 1, 0)

				dead := w.record(t, joined, theKey)

				got := second.take(t, joined, theKey)
				got.mustSay(t, onlyonce.StatusExecuted)

				if rec := w.record(t, joined, theKey); rec.LastStart.Before(dead.LeaseUntil) || rec.Fence <= dead.Fence {
					t.Errorf("the takeover was at %v with fence %d; the lease ended at %v, with fence %d",
						rec.LastStart, rec.Fence, dead.LeaseUntil, dead.Fence)
				}

				again := second.take(t, joined, theKey)
				again.mustSay(t, onlyonce.StatusReplayed)
				again.mustEqual(t, got)
				w.mustHave(t, theKey, 2, 1)
			})
		}
	})
}

func TestF05KilledAfterTheCommitIsReplayed(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		for m, points := range map[method][]point{single: {atAnswer}, joined: {atReturned, atAnswer}} {
			for _, at := range points {
				t.Run(string(m)+", "+string(at), func(t *testing.T) {
					t.Parallel()

					w := newWorld(t, k)
					first := w.start(t, serverConfig{Policy: sound(), ParkAt: at})
					second := w.start(t, serverConfig{Policy: sound()})

					first.killAt(t, m)
					w.mustBe(t, m, theKey, store.Completed)

					got := second.take(t, m, theKey)
					got.mustSay(t, onlyonce.StatusReplayed)
					w.mustHave(t, theKey, 1, 1)

					if run := w.rows(t)[theKey][0]; got.resp.GetUsername() != run {
						t.Errorf("the replay is that of run %s, the row that of %s", got.resp.GetUsername(), run)
					}
				})
			}
		}
	})
}

func TestF03F04KilledAfterAnEffectOutsideIsUnknownUntilItIsFound(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		for _, at := range []point{atWritten, atReturned} {
			t.Run(string(at), func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, k)
				first := w.start(t, serverConfig{Policy: mortal(), Outside: true, ParkAt: at})
				second := w.start(t, serverConfig{Policy: sound(), Outside: true})
				third := w.start(t, serverConfig{Policy: sound(), Outside: true, Recovers: true})

				first.killAt(t, single)

				for range 2 {
					second.take(t, single, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)
				}

				found := third.take(t, single, theKey)
				found.mustSay(t, onlyonce.StatusReplayed)
				second.take(t, single, theKey).mustEqual(t, found)
				w.mustHave(t, theKey, 1, 1)
			})
		}
	})
}

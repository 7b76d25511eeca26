//go:build unix

package sqlcrash

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

func TestF16StoppedPastTheLeaseAndOvertakenRollsBackAndAnswersWhatTheWinnerDid(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		points := []point{atHandler, atWritten}
		if k.dialect == sqlstore.SQLite {
			points = points[:1] // SQLite has one writer at a time
		}

		run := func(at point, heedless bool) {
			t.Run(fmt.Sprintf("%s, heedless: %t", at, heedless), func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, k)
				first := w.start(t, serverConfig{Policy: mortal(), ParkAt: at, Heedless: heedless})
				second := w.start(t, serverConfig{Policy: sound()})

				late := first.parkAt(t, joined, theKey)
				first.signal(t, syscall.SIGSTOP)

				winner := second.take(t, joined, theKey)
				winner.mustSay(t, onlyonce.StatusExecuted)

				first.resume(t)
				first.signal(t, syscall.SIGCONT)

				got := happens(t, "the owner's caller is answered", late)
				got.mustSay(t, onlyonce.StatusReplayed)
				got.mustEqual(t, winner)
				w.mustHave(t, theKey, 2, 1)
			})
		}

		for _, at := range points {
			run(at, false) // the end of its context ends its statements
			run(at, true)  // nothing does but the record
		}
	})
}

// A single transaction has no lease that could end. Its run is alone for as long as its connection lives.
func TestF16StoppedInASingleTransactionIsNotOvertaken(t *testing.T) {
	each(t, processes(), func(t *testing.T, k kind) {
		t.Helper()

		w := newWorld(t, k)
		first := w.start(t, serverConfig{Policy: mortal(), ParkAt: atWritten})
		impatient := mortal()
		impatient.MaxWait = shortLease
		second := w.start(t, serverConfig{Policy: impatient})

		owner := first.parkAt(t, single, theKey)
		first.signal(t, syscall.SIGSTOP)

		for range 2 {
			second.take(t, single, theKey).mustReject(t, onlyonce.ReasonInProgress)
		}

		first.resume(t)
		first.signal(t, syscall.SIGCONT)

		got := happens(t, "the owner's caller is answered", owner)
		got.mustSay(t, onlyonce.StatusExecuted)
		second.take(t, single, theKey).mustEqual(t, got)
		w.mustHave(t, theKey, 1, 1)
	})
}

func TestF48GracefulStopDuringARunCommitsIt(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		for _, m := range methods() {
			t.Run(string(m), func(t *testing.T) {
				t.Parallel()

				w := newWorld(t, k)
				p := w.start(t, serverConfig{Policy: sound(), ParkAt: atWritten})
				caller := p.parkAt(t, m, theKey)
				p.endExpected.Store(true)
				p.signal(t, syscall.SIGTERM)
				happens(t, "the server stops", p.stopping)
				eventually(t, "the server listens no more", func() bool {
					conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr)
					if err == nil {
						conn.Close()
					}

					return err != nil
				})
				p.resume(t)

				got := happens(t, "the caller is answered", caller)
				got.mustSay(t, onlyonce.StatusExecuted)
				p.waitExit(t) // fails if anything has leaked
				w.mustBe(t, m, theKey, store.Completed)

				again := w.start(t, serverConfig{Policy: sound()}).take(t, m, theKey)
				again.mustSay(t, onlyonce.StatusReplayed)
				again.mustEqual(t, got)
				w.mustHave(t, theKey, 1, 1)
			})
		}
	})
}

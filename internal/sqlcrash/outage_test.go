//go:build unix

package sqlcrash

import (
	"fmt"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
)

// restart kills the database and starts it again. The servers have to find that out by themselves, and not the test.
func (w *world) restart(db *sqltest.Server) {
	db.Restart()
	w.restarts.Add(1)
	w.db.SetMaxIdleConns(0)
	w.db.SetMaxIdleConns(connections)
}

func TestF07F08DatabaseKilledDuringASingleTransactionLeavesNothingAndNoCallSucceeds(t *testing.T) {
	each(t, processes(), func(t *testing.T, k kind) {
		t.Helper()

		db := k.own(t)
		w := newWorldIn(t, k, db.Database)

		for _, at := range []point{atHandler, atWritten, atReturned} {
			key := string(at)
			p := w.start(t, serverConfig{Policy: sound(), ParkAt: at})
			caller := p.parkAt(t, single, key)
			w.restart(db)
			p.resume(t)

			if got := happens(t, "the caller is answered", caller); got.err == nil {
				t.Errorf("%s: the caller was answered %q without a commit", at, got.status())
			}

			w.mustHave(t, key, 1, 0)
			w.mustBe(t, single, key, store.Absent)

			got := p.retryUntilOK(t, single, key)
			got.mustSay(t, onlyonce.StatusExecuted)
			p.take(t, single, key).mustEqual(t, got)
			w.mustHave(t, key, 2, 1)
			p.kill()
		}
	})
}

func TestF07F08DatabaseKilledDuringAJoinedRunDoesNotDoubleIt(t *testing.T) {
	each(t, processes(), func(t *testing.T, k kind) {
		t.Helper()

		db := k.own(t)
		w := newWorldIn(t, k, db.Database)

		for at, effects := range map[point]int{atHandler: 0, atWritten: 0, atReturned: 1} {
			key := string(at)
			p := w.start(t, serverConfig{Policy: sound(), ParkAt: at})
			caller := p.parkAt(t, joined, key)
			w.restart(db)
			w.mustHave(t, key, 1, effects)
			p.resume(t)

			// The call may have run again by itself, or may have been refused.
			first := happens(t, "the caller is answered", caller)

			got := p.retryUntilOK(t, joined, key)
			if first.err == nil {
				got.mustEqual(t, first)
			}

			w.mustBe(t, joined, key, store.Completed)
			w.mustHave(t, key, w.seen(atHandler, key), 1)

			if run := w.rows(t)[key][0]; got.resp.GetUsername() != run {
				t.Errorf("%s: the answer is that of run %s, the row that of %s", at, got.resp.GetUsername(), run)
			}

			p.kill()
		}
	})
}

func TestF12CommitReplyLostIsAnsweredByWhatTheDatabaseHas(t *testing.T) {
	each(t, processes(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		proxy := sqltest.NewProxy(t, base)
		w := newWorldIn(t, k, base)
		p := w.start(t, serverConfig{Policy: sound(), DSN: proxy.DSN(k.params...)})

		for _, m := range methods() {
			for fault, effects := range map[sqltest.Fault]int{sqltest.LostReply: 1, sqltest.LostRequest: 0} {
				key := fmt.Sprintf("%.6s-%d", m, fault)
				armed := proxy.Next(fault, sqltest.Starting("commit"))
				first := p.take(t, m, key)

				armed.Wait()
				w.mustHave(t, key, 1, effects)

				if effects == 1 {
					first.mustSay(t, onlyonce.StatusExecuted)
					again := p.take(t, m, key)
					again.mustSay(t, onlyonce.StatusReplayed)
					again.mustEqual(t, first)

					continue
				}

				if first.err == nil {
					t.Errorf("%s: the caller was answered %q without a commit", key, first.status())
				}

				p.retryUntilOK(t, m, key).mustSay(t, onlyonce.StatusExecuted)
				w.mustHave(t, key, 2, 1)
			}
		}
	})
}

// In each round, the database is killed under load, and recovers its acknowledged writes.
func TestF08F12DatabaseKilledUnderLoadLosesNothingThatWasAnswered(t *testing.T) {
	each(t, processes(), func(t *testing.T, k kind) {
		t.Helper()

		const rounds, between = 3, 20

		db := k.own(t)
		w := newWorldIn(t, k, db.Database)
		f := newFleet(t, w, loaded(), 2, 0)
		l := newLedger()
		over, left := make(chan struct{}), make(chan struct{})

		go func() {
			f.shop(t, l, over)
			close(left)
		}()

		for round := range rounds + 1 {
			if round > 0 {
				w.restart(db)
			}

			known := l.size()
			eventually(t, "there are more orders", func() bool { return l.size() >= known+between })
		}

		close(over)
		happens(t, "the callers have left", left)

		f.mustBeWell(t)
		l.mustBeTrue(t, f)
		t.Logf("%d kills, %d orders", rounds, len(l.all))
	})
}

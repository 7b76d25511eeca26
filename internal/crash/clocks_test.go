//go:build unix

package crash

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// Two servers whose clocks are two hours apart, and each an hour from the store's.
func TestF31ClocksThatAreAnHourOff(t *testing.T) {
	t.Parallel()

	for name, ahead := range map[string]time.Duration{
		"the owner's clock is slow": time.Hour,
		"the owner's clock is fast": -time.Hour,
	} {
		begin := func(t *testing.T, guarantee onlyonce.Guarantee, owner onlyonce.Policy) (*world, *process, client) {
			t.Helper()

			w := newWorld(t, embedded)
			first := w.start(t, serverConfig{Name: "first", Policy: owner, StoreAhead: ahead})
			second := w.start(t, serverConfig{Name: "second", Policy: sound(guarantee), StoreAhead: -ahead})

			return w, first, second.dial(t)
		}

		t.Run(name+", a duplicate waits for a run", func(t *testing.T) {
			t.Parallel()

			for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
				w, first, second := begin(t, guarantee, sound(guarantee))

				owner := w.parkAt(t, "first", first.dial(t), atHandler, theKey)
				duplicate := second.begin(t, theKey)

				eventually(t, "the duplicate has looked twice", func() bool { return len(w.seen(atRefused, theKey)) >= 2 })
				owner.release()

				ran := owner.finish(t)
				ran.mustSay(t, onlyonce.StatusExecuted)

				waited := finish(t, duplicate)
				waited.mustSay(t, onlyonce.StatusReplayed)
				waited.mustEqual(t, ran)
				w.mustHave(t, theKey, 1, 1)
			}
		})

		t.Run(name+", a dead owner's outcome is unknown after its lease", func(t *testing.T) {
			t.Parallel()

			w, first, second := begin(t, onlyonce.AtMostOnce, mortal(onlyonce.AtMostOnce))

			w.killAt(t, first, atClaimed, payment())
			second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)

			if rec := w.mustBe(t, theKey, store.Running); !rec.Unknown {
				t.Error("a duplicate was told that the outcome is unknown, while the lease was alive")
			}

			w.mustHave(t, theKey, 0, 0)
		})

		t.Run(name+", a dead owner is taken over after its lease", func(t *testing.T) {
			t.Parallel()

			w, first, second := begin(t, onlyonce.AtLeastOnce, mortal(onlyonce.AtLeastOnce))

			w.killAt(t, first, atClaimed, payment())
			dead := w.record(t, theKey)

			second.pay(t, theKey).mustSay(t, onlyonce.StatusExecuted)

			if rec := w.mustBe(t, theKey, store.Completed); rec.LastStart.Before(dead.LeaseUntil) {
				t.Errorf("the takeover was at %v, before the end of the lease at %v", rec.LastStart, dead.LeaseUntil)
			}

			w.mustHave(t, theKey, 1, 1)
		})
	}
}

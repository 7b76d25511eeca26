package storetest

import (
	"fmt"

	"github.com/onlyonce-go/onlyonce/store"
)

// notified is a check of a store that implements store.Notifier.
type notified struct {
	*env

	notifier store.Notifier
}

// watchers is how many watch one run.
const watchers = 64

func notifierChecks() []check {
	all := []struct {
		name string
		run  func(x *notified)
	}{
		{"a completion, a release, a hold and a resolution wake a watch that began before", watchWoken},
		{"a completion after the lease has ended wakes a watch", watchWokenLate},
		{"a release before its claim wakes a watch", watchTombstone},
		{"every watch is woken", watchMany},
		{"a watch that begins while the run ends is woken, or the record read after it began has ended", watchRace},
		{"a stopped watch leaves the others alone", watchStop},
		{"a watch may be stopped before and after it was woken", watchStopAnyTime},
		{"a second watch waits for the second run", watchAgain},
	}
	checks := make([]check, 0, len(all))

	for _, c := range all {
		checks = append(checks, check{c.name, func(x *env) {
			if x.can.Notifier == nil {
				x.Logf("%T has no store.Notifier", x.raw)

				return
			}

			c.run(&notified{x, x.can.Notifier})
		}})
	}

	return checks
}

func (x *notified) woken(changed <-chan struct{}, by string) {
	x.Helper()

	if !x.wait(changed) {
		x.brokenf(notifier, "a watch was not woken by %s", by)
	}
}

func watchWoken(x *notified) {
	for _, end := range []struct {
		name string
		op   func(claim store.Claim)
	}{
		{"a completion", func(c store.Claim) { x.complete(c, theOutcome) }},
		{"a release", func(c store.Claim) { x.release(c) }},
		{"a hold", func(c store.Claim) { x.hold(c, theNote) }},
		{"a resolution", func(store.Claim) {
			(&inspected{x.env, x.can.Inspector}).resolve(1, store.Completed)
		}},
	} {
		x.newKey()

		claim := x.newClaim()

		switch {
		case end.name != "a resolution":
			x.start(claim)
		case x.can.Inspector != nil:
			claim = x.shortClaim()
			x.startShort(claim)
		default:
			continue
		}

		changed, stop := x.notifier.Watch(x.key)
		end.op(claim)
		x.woken(changed, end.name)
		stop()
	}
}

func watchWokenLate(x *notified) {
	claim := x.shortClaim()
	x.start(claim)

	changed, stop := x.notifier.Watch(x.key)
	defer stop()

	x.advance(2 * x.unit)
	x.complete(claim, theOutcome)
	x.woken(changed, "a completion after the lease has ended")
}

func watchTombstone(x *notified) {
	changed, stop := x.notifier.Watch(x.key)
	defer stop()

	x.release(x.newClaim())
	x.woken(changed, "a release that left a tombstone")
}

func watchMany(x *notified) {
	claim := x.newClaim()
	x.start(claim)

	changed, stop := make([]<-chan struct{}, watchers), make([]func(), watchers)
	for i := range watchers {
		changed[i], stop[i] = x.notifier.Watch(x.key)
	}

	x.complete(claim, theOutcome)

	for i := range watchers {
		x.woken(changed[i], fmt.Sprintf("a completion that %d watches waited for, number %d", watchers, i))
		stop[i]()
	}
}

// watchRace waits as the engine does: it begins to watch, reads, and waits only if the run has not ended.
func watchRace(x *notified) {
	for range x.rounds {
		x.newKey()

		claim := x.newClaim()
		x.start(claim)

		waiter := x.newClaim()
		lost := false

		x.race(2, func(i int) (store.Result, error) {
			if i == 0 {
				return x.store.Complete(x.ctx, completion(claim, theOutcome))
			}

			changed, stop := x.notifier.Watch(waiter.Key)
			defer stop()

			res, err := x.store.Claim(x.ctx, waiter)
			lost = err == nil && res.Record.State == store.Running && !x.wait(changed)

			return res, err
		})

		if lost {
			x.brokenf(notifier, "the wake-up was lost: the watch had begun, the record was RUNNING, the completion "+
				"came, and the watch was not woken")

			return
		}
	}
}

func watchStop(x *notified) {
	claim := x.newClaim()
	x.start(claim)

	first, stopFirst := x.notifier.Watch(x.key)
	_, stopSecond := x.notifier.Watch(x.key)
	third, stopThird := x.notifier.Watch(x.key)

	stopSecond()
	x.complete(claim, theOutcome)
	x.woken(first, "a completion, when a later watch of the key had been stopped")
	x.woken(third, "a completion, when an earlier watch of the key had been stopped")
	stopFirst()
	stopThird()
}

func watchStopAnyTime(x *notified) {
	claim := x.newClaim()
	x.start(claim)

	_, stop := x.notifier.Watch(x.key)
	stop()

	changed, stop := x.notifier.Watch(x.key)

	x.complete(claim, theOutcome)
	x.woken(changed, "a completion, when an earlier watch had been stopped")
	stop()
	x.expect(finality, "a claim after the watches have ended", x.claim(x.newClaim()),
		want{false, store.Completed, claim.Token, 1, theOutcome})
}

func watchAgain(x *notified) {
	for fence := range uint64(3) {
		claim := x.newClaim()
		claim.Fence = fence
		x.start(claim)

		changed, stop := x.notifier.Watch(x.key)
		x.release(claim)
		x.woken(changed, "a release after others")
		stop()
	}
}

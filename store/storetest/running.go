package storetest

import (
	"context"

	"github.com/onlyonce-go/onlyonce/store"
)

func runningOnly(x *listed) {
	wanted := map[condition]bool{
		absent: false, alive: true, ended: false, held: false, released: false, completed: false,
	}
	keys := make(map[condition]store.Key)
	records := make(map[condition]store.Record)

	for found := range wanted {
		x.newKey()
		_, rec := x.arrange(found, store.AtLeastOnce)
		keys[found], records[found] = x.key, rec
	}

	all := x.list(x.lister.ListRunning)

	for found, want := range wanted {
		got, ok := all[keys[found]]
		if ok != want {
			x.brokenf(runningLister, "ListRunning yields a record in the condition %q: %t, must be %t", found, ok, want)

			continue
		}

		if !want {
			continue
		}

		rec := records[found]
		if d := everything(&got.Record, &rec); d != "" {
			x.brokenf(runningLister, "a listed record in the condition %q: %s", found, d)
		}

		if !got.Record.LeaseAlive(got.Now) || got.Now.Before(rec.FirstStart) {
			x.brokenf(runningLister, "Now of a listed record is %v: its run began at %v under a lease until %v",
				got.Now, rec.FirstStart, got.Record.LeaseUntil)
		}
	}
}

func runningLife(x *listed) {
	expect := func(when string, want bool) {
		x.Helper()

		if _, got := x.list(x.lister.ListRunning)[x.key]; got != want {
			x.brokenf(runningLister, "ListRunning yields %s: %t, must be %t", when, got, want)
		}
	}

	first := x.shortClaim()
	x.startShort(first)
	expect("a run whose lease has ended", false)

	second := x.newClaim()
	second.Fence = 1
	x.start(second)
	expect("a run that was taken over", true)

	x.hold(second, theNote)
	expect("a run that is held", false)

	x.complete(second, theOutcome)
	expect("a run that its owner has settled after all", false)

	x.newKey()

	third := x.shortClaim()
	x.startShort(third)
	x.renew(third, long)
	expect("a run whose lease was renewed", true)

	x.release(third)
	expect("a run that was released", false)

	fourth := x.newClaim()
	fourth.Fence = 2
	x.start(fourth)
	expect("the next run of a released key", true)

	x.complete(fourth, theOutcome)
	expect("a run that was completed", false)
}

func runningMany(x *listed) {
	const records = 300

	keys := make(map[store.Key]bool)

	for range records {
		x.newKey()
		x.start(x.newClaim())

		keys[x.key] = true
	}

	for key := range x.list(x.lister.ListRunning) {
		delete(keys, key)
	}

	if len(keys) > 0 {
		x.brokenf(runningLister, "ListRunning misses %d of %d records", len(keys), records)
	}
}

func runningBreak(x *listed) {
	for range 3 {
		x.newKey()
		x.start(x.newClaim())
	}

	seen := 0

	for _, err := range x.lister.ListRunning(x.ctx) {
		if err != nil {
			x.Fatalf("ListRunning returned an error: %v", err)
		}

		seen++

		break
	}

	if seen != 1 {
		x.brokenf(runningLister, "ListRunning yielded %d records before the first break", seen)
	}

	ctx, cancel := context.WithCancel(x.ctx)
	cancel()

	for _, err := range x.lister.ListRunning(ctx) {
		if err == nil {
			x.brokenf(runningLister, "ListRunning goes on under a context that has ended")
		}

		return
	}

	x.brokenf(runningLister, "ListRunning under an ended context ends without an error")
}

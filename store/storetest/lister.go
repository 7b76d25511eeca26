package storetest

import (
	"context"
	"iter"

	"github.com/onlyonce-go/onlyonce/store"
)

// listed is a check of a store that implements store.Lister.
type listed struct {
	*env

	lister store.Lister
}

func listerChecks() []check {
	all := []struct {
		name string
		run  func(x *listed)
	}{
		{"ListUnknown yields the records whose outcome is unknown, and no others", listUnknown},
		{"ListUnknown follows a record through its life", listLife},
		{"ListUnknown finds every one of many records", listMany},
		{"ListUnknown ends when its caller has seen enough", listBreak},
		{"ListRunning yields the records that run under a lease, and no others", runningOnly},
		{"ListRunning follows a record through its life", runningLife},
		{"ListRunning finds every one of many records", runningMany},
		{"ListRunning ends when its caller has seen enough", runningBreak},
	}
	checks := make([]check, 0, len(all))

	for _, c := range all {
		checks = append(checks, check{c.name, func(x *env) {
			if x.can.Lister == nil {
				x.Logf("%T has no store.Lister", x.raw)

				return
			}

			c.run(&listed{x, x.can.Lister})
		}})
	}

	return checks
}

// list returns the listed records by key. The records of other checks may be among them.
func (x *listed) list(all func(context.Context) iter.Seq2[store.Listed, error]) map[store.Key]store.Result {
	x.Helper()

	found := make(map[store.Key]store.Result)

	for one, err := range all(x.ctx) {
		if err != nil {
			x.Fatalf("a list returned an error: %v", err)
		}

		if _, twice := found[one.Key]; twice {
			x.brokenf(lister, "a list yields a record twice")
		}

		found[one.Key] = one.Result
	}

	return found
}

func listUnknown(x *listed) {
	wanted := map[condition]bool{
		absent: false, alive: false, ended: true, held: true, released: false, completed: false,
	}
	keys := make(map[condition]store.Key)
	records := make(map[condition]store.Record)

	for found := range wanted {
		x.newKey()
		_, rec := x.arrange(found, store.AtLeastOnce)
		keys[found], records[found] = x.key, rec
	}

	all := x.list(x.lister.ListUnknown)

	for found, want := range wanted {
		got, ok := all[keys[found]]
		if ok != want {
			x.brokenf(lister, "ListUnknown yields a record in the condition %q: %t, must be %t", found, ok, want)

			continue
		}

		rec := records[found]
		if d := meaning(&got.Record, &rec); want && d != "" {
			x.brokenf(lister, "a listed record in the condition %q: %s", found, d)
		}

		if want && got.Now.Before(rec.FirstStart) {
			x.brokenf(lister, "Now of a listed record is %v, before its start", got.Now)
		}
	}
}

func listLife(x *listed) {
	expect := func(when string, want bool) {
		x.Helper()

		if _, got := x.list(x.lister.ListUnknown)[x.key]; got != want {
			x.brokenf(lister, "ListUnknown yields %s: %t, must be %t", when, got, want)
		}
	}

	first := x.shortClaim()
	x.startShort(first)
	expect("a run whose lease has ended", true)

	second := x.newClaim()
	second.Fence = 1
	x.start(second)
	expect("a run that was taken over", false)

	x.hold(second, theNote)
	expect("a run that is held", true)

	x.complete(second, theOutcome)
	expect("a run that its owner has settled after all", false)

	x.newKey()

	third := x.shortClaim()
	x.startShort(third)
	x.renew(third, long)
	expect("a run whose lease was renewed", false)

	x.release(third)
	expect("a run that was released", false)
}

func listMany(x *listed) {
	const records = 300

	keys := make(map[store.Key]bool)

	for range records {
		x.newKey()

		claim := x.newClaim()
		x.start(claim)
		x.hold(claim, theNote)

		keys[x.key] = true
	}

	for key := range x.list(x.lister.ListUnknown) {
		delete(keys, key)
	}

	if len(keys) > 0 {
		x.brokenf(lister, "ListUnknown misses %d of %d records", len(keys), records)
	}
}

func listBreak(x *listed) {
	for range 3 {
		x.newKey()

		claim := x.newClaim()
		x.start(claim)
		x.hold(claim, theNote)
	}

	seen := 0

	for _, err := range x.lister.ListUnknown(x.ctx) {
		if err != nil {
			x.Fatalf("ListUnknown returned an error: %v", err)
		}

		seen++

		break
	}

	if seen != 1 {
		x.brokenf(lister, "ListUnknown yielded %d records before the first break", seen)
	}

	ctx, cancel := context.WithCancel(x.ctx)
	cancel()

	for _, err := range x.lister.ListUnknown(ctx) {
		if err == nil {
			x.brokenf(lister, "ListUnknown goes on under a context that has ended")
		}

		return
	}

	x.brokenf(lister, "ListUnknown under an ended context ends without an error")
}

package storetest

import (
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func takeoverChecks() []check {
	var checks []check

	for _, of := range []store.Guarantee{store.AtMostOnce, store.AtLeastOnce, store.ExactlyOnce} {
		for _, by := range []store.Guarantee{store.AtMostOnce, store.AtLeastOnce, store.ExactlyOnce} {
			checks = append(checks, check{
				fmt.Sprintf("a record under %v and a claim under %v: the stricter decides", of, by),
				func(x *env) { takeoverGuarantee(x, of, by) },
			})
		}
	}

	return append(checks,
		check{"it needs the lease to have ended", takeoverBoundary},
		check{"it is refused after MaxAttempts runs", takeoverAttempts},
		check{"a release starts the count of attempts again", takeoverAttemptsReset},
		check{"it is refused once the first start is older than the retention", takeoverTooOld},
		check{"the first start is that of the first run, whatever came between", takeoverFirstStart},
		check{"a released key may be claimed again however strict, however often, however old", takeoverReleased},
		check{"the strictest guarantee of all runs stays with the record", takeoverStrictest},
	)
}

// stricter returns the guarantee that decides, and whether it allows a takeover. AT_MOST_ONCE is the strictest, then EXACTLY_ONCE.
func stricter(a, b store.Guarantee) (decides store.Guarantee, again bool) {
	rank := map[store.Guarantee]int{store.AtLeastOnce: 1, store.ExactlyOnce: 2, store.AtMostOnce: 3}

	decides = a
	if rank[b] > rank[a] {
		decides = b
	}

	return decides, decides != store.AtMostOnce
}

func takeoverGuarantee(x *env, of, by store.Guarantee) {
	own := x.shortClaim()
	own.Guarantee = of
	x.startShort(own)

	claim := x.newClaim()
	claim.Fence, claim.Guarantee = 1, by
	got := x.claim(claim)

	decides, again := stricter(of, by)
	if !again {
		x.expect(guarantee, "a takeover under AT_MOST_ONCE", got, want{false, store.Running, own.Token, 1, ""})

		return
	}

	x.expect(guarantee, "a takeover", got, want{true, store.Running, claim.Token, 2, ""})

	if got.Record.Guarantee != decides {
		x.brokenf(guarantee, "a takeover under %v of a record under %v made it %v, must be %v",
			by, of, got.Record.Guarantee, decides)
	}
}

// takeoverBoundary tries to take over just before the end of the lease, and at it.
func takeoverBoundary(x *env) {
	own := x.newClaim()
	own.Lease = 4 * x.unit
	until := x.start(own).Record.LeaseUntil

	claim := x.newClaim()
	claim.Fence = 1

	x.approach(until, func() bool {
		got := x.claim(claim)
		if x.doubtful(got.Now, until) {
			return got.Applied
		}

		if ended := !got.Now.Before(until); ended != got.Applied {
			x.brokenf(atomicity, "a claim %v after the lease ended: Applied is %t, must be %t",
				got.Now.Sub(until), got.Applied, ended)
		}

		return got.Applied
	})
}

// approach calls try before, just before and at an instant on the store's clock, until try returns true. Outside a bubble it keeps a
// distance from the instant.
func (x *env) approach(at time.Time, try func() bool) {
	x.Helper()

	if try() {
		return
	}

	if x.bubble {
		for _, before := range []time.Duration{time.Millisecond, time.Nanosecond} {
			x.until(at.Add(-before))

			if try() {
				return
			}
		}

		x.until(at)
	} else {
		x.pass(at)
	}

	try()
}

// doubtful reports whether rounding decides what has ended at now. Inside a bubble it never does.
func (x *env) doubtful(now, at time.Time) bool { return !x.bubble && near(now, at) }

func takeoverAttempts(x *env) {
	var token store.Token

	for run := range uint64(3) {
		claim := x.shortClaim()
		claim.Fence, claim.MaxAttempts = run, 3
		got := x.startShort(claim)
		token = claim.Token

		if uint64(got.Record.Attempts) != run+1 {
			x.brokenf(attempts, "run %d: Attempts is %d", run+1, got.Record.Attempts)
		}
	}

	claim := x.newClaim()
	claim.Fence = 3

	for _, bound := range []uint32{1, 2, 3} {
		claim.MaxAttempts = bound
		x.expect(attempts, fmt.Sprintf("a takeover after 3 runs with MaxAttempts %d", bound), x.claim(claim),
			want{false, store.Running, token, 3, ""})
	}

	claim.MaxAttempts = 4
	if !x.expect(attempts, "a takeover after 3 runs with MaxAttempts 4", x.claim(claim),
		want{true, store.Running, claim.Token, 4, ""}) {
		return
	}

	x.unbounded()
}

// unbounded checks that MaxAttempts of zero is no bound.
func (x *env) unbounded() {
	x.newKey()
	x.startShort(x.shortClaim())

	claim := x.newClaim()
	claim.Fence = 1
	x.expect(attempts, "a takeover without MaxAttempts", x.claim(claim),
		want{true, store.Running, claim.Token, 2, ""})
}

func takeoverAttemptsReset(x *env) {
	x.startShort(x.shortClaim())

	second := x.newClaim()
	second.Fence = 1
	x.start(second)
	x.release(second)

	third := x.newClaim()
	third.Fence = 2

	if got := x.start(third); got.Record.Attempts != 1 {
		x.brokenf(attempts, "the first run after a release is number %d", got.Record.Attempts)
	}
}

func takeoverTooOld(x *env) {
	retention := 4 * x.unit
	first := x.startShort(x.shortClaim()).Record
	oldest := first.FirstStart.Add(retention)

	// The first start does not move with later runs, so each of these could take over.
	try := func() store.Result {
		claim := x.shortClaim()
		claim.Fence, claim.Retention = x.read().Record.Fence, retention

		return x.claim(claim)
	}

	got := try()
	if !got.Applied && got.Now.Before(oldest.Add(-rounding)) {
		x.brokenf(takeoverAge, "a takeover %v after the first start, with a retention of %v, was refused",
			got.Now.Sub(first.FirstStart), retention)
	}

	if x.bubble {
		x.until(oldest)

		if got = try(); !got.Applied {
			x.brokenf(takeoverAge, "a takeover when the first start is as old as the retention was refused")
		}
	}

	x.pass(oldest)
	x.pass(x.read().Record.LeaseUntil)

	if got = try(); got.Applied {
		x.brokenf(takeoverAge, "a takeover %v after the first start, with a retention of %v, was allowed",
			got.Now.Sub(first.FirstStart), retention)
	}
}

func takeoverFirstStart(x *env) {
	first := x.startShort(x.shortClaim()).Record

	second := x.shortClaim()
	second.Fence = 1
	x.startShort(second)
	x.release(second)

	third := x.shortClaim()
	third.Fence = 2
	got := x.startShort(third).Record

	if !near(got.FirstStart, first.FirstStart) {
		x.brokenf(takeoverAge, "a takeover and a release moved the first start by %v", got.FirstStart.Sub(first.FirstStart))
	}

	if got.LastStart.Before(first.LastStart.Add(2 * x.unit)) {
		x.brokenf(contents, "the start of the third run, %v, is not its own", got.LastStart)
	}

	late := x.newClaim()
	late.Fence, late.Retention = 3, 3*x.unit
	x.expect(takeoverAge, "a takeover of a run whose key was first used longer ago than the retention", x.claim(late),
		want{false, store.Running, third.Token, 3, ""})
}

func takeoverReleased(x *env) {
	const runs = 3

	claim := x.shortClaim()
	claim.Guarantee, claim.MaxAttempts = store.AtMostOnce, 1

	for fence := range uint64(runs) {
		claim.Token, claim.Fence = newToken(), fence
		x.expect(guarantee, "a claim of a key that was released", x.claim(claim),
			want{true, store.Running, claim.Token, fence + 1, ""})
		x.advance(x.unit)
		x.release(claim)
	}

	claim.Token, claim.Fence, claim.Retention = newToken(), runs, x.unit
	x.expect(guarantee, "a claim of a key that was released, with a retention shorter than the key's age", x.claim(claim),
		want{true, store.Running, claim.Token, runs + 1, ""})
}

func takeoverStrictest(x *env) {
	strict := x.shortClaim()
	strict.Guarantee = store.AtMostOnce
	x.start(strict)
	x.release(strict)

	lax := x.shortClaim()
	lax.Fence = 1
	x.startShort(lax)

	again := x.newClaim()
	again.Fence = 2
	x.expect(guarantee, "a takeover of a key that an earlier run had claimed under AT_MOST_ONCE", x.claim(again),
		want{false, store.Running, lax.Token, 2, ""})
}

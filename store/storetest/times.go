package storetest

import (
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func timeChecks() []check {
	return []check{
		{"a first run tells its starts, its lease and how long its owner may live", timesStart},
		{"a later run tells its own start and the first one", timesTakeover},
		{"a run that begins late, by a copy of its claim, may live as long as one that began at once", timesRevival},
		{"a renewal moves the lease and nothing else", timesRenewal},
		{"a completion, a release and a hold tell when they were decided", timesEnd},
		{"a tombstone tells that nothing was started", timesTombstone},
		{"the store's clock does not go back", timesOrder},
	}
}

func (x *env) at(what string, got, wanted time.Time) {
	x.Helper()

	if !near(got, wanted) {
		x.brokenf(contents, "%s is %v, must be %v", what, got, wanted)
	}
}

func timesStart(x *env) {
	claim := x.newClaim()
	claim.Lease, claim.MaxRun = 3*time.Minute, 7*time.Minute
	got := x.start(claim)
	rec := got.Record

	x.at("FirstStart of a first run", rec.FirstStart, got.Now)
	x.at("LastStart of a first run", rec.LastStart, got.Now)
	x.at("LeaseUntil of a first run", rec.LeaseUntil, got.Now.Add(claim.Lease))
	x.at("OwnerAliveUntil of a first run", rec.OwnerAliveUntil, got.Now.Add(claim.Lease+claim.MaxRun))
	x.at("EndedAt of a RUNNING record", rec.EndedAt, time.Time{})

	if rec.Attempts != 1 {
		x.brokenf(attempts, "the first run is number %d", rec.Attempts)
	}
}

func timesTakeover(x *env) {
	first := x.startShort(x.shortClaim()).Record

	claim := x.newClaim()
	claim.Fence = 1
	got := x.start(claim)

	x.at("FirstStart after a takeover", got.Record.FirstStart, first.FirstStart)
	x.at("LastStart after a takeover", got.Record.LastStart, got.Now)
	x.at("LeaseUntil after a takeover", got.Record.LeaseUntil, got.Now.Add(long))
	x.at("OwnerAliveUntil after a takeover", got.Record.OwnerAliveUntil, got.Now.Add(2*long))

	// The first owner may live longer than the second, and nobody knows of its end.
	x.newKey()

	old := x.shortClaim()
	old.MaxRun = 5 * long
	first = x.start(old).Record
	x.pass(first.LeaseUntil)

	claim = x.newClaim()
	claim.Fence = 1
	got = x.start(claim)
	x.at("OwnerAliveUntil after the takeover of a longer run", got.Record.OwnerAliveUntil, first.OwnerAliveUntil)
}

// timesRevival wins an ended lease back with a copy of the claim, because the owner learns only now that it has won.
func timesRevival(x *env) {
	own := x.shortClaim()
	x.startShort(own)

	got := x.claim(own)
	if got.Record.OwnerAliveUntil.Before(got.Now.Add(2*x.unit - rounding)) {
		x.brokenf(ownerAlive, "a copy of a claim won the ended lease back, and OwnerAliveUntil is %v, must be %v later than %v",
			got.Record.OwnerAliveUntil, 2*x.unit, got.Now)
	}

	// The earlier owner may live longer. A copy of a later claim does not shorten that.
	x.newKey()

	old := x.shortClaim()
	old.MaxRun = 5 * long
	first := x.start(old).Record
	x.pass(first.LeaseUntil)

	own = x.shortClaim()
	own.Fence = 1
	x.pass(x.start(own).Record.LeaseUntil)

	if until := x.claim(own).Record.OwnerAliveUntil; until.Before(first.OwnerAliveUntil.Add(-rounding)) {
		x.brokenf(ownerAlive, "a copy of a claim took OwnerAliveUntil back from %v to %v", first.OwnerAliveUntil, until)
	}
}

func timesRenewal(x *env) {
	claim := x.newClaim()
	claim.Lease = long / 2 // enough for the slowest machine
	before := x.start(claim).Record
	x.advance(x.unit)

	got := x.renew(claim, long)
	x.at("LeaseUntil after a renewal", got.Record.LeaseUntil, got.Now.Add(long))

	before.LeaseUntil = got.Record.LeaseUntil
	if d := everything(&got.Record, &before); d != "" {
		x.brokenf(contents, "a renewal changed more than the lease: %s", d)
	}

	short := x.renew(claim, time.Second)
	x.at("LeaseUntil after a renewal that would shorten it", short.Record.LeaseUntil, got.Record.LeaseUntil)
}

func timesEnd(x *env) {
	for _, end := range []struct {
		name    string
		op      func(claim store.Claim) store.Result
		expires bool
	}{
		{"a completion", func(c store.Claim) store.Result { return x.complete(c, theOutcome) }, true},
		{"a release", x.release, true},
		{"a hold", func(c store.Claim) store.Result { return x.hold(c, theNote) }, false},
	} {
		x.newKey()

		claim := x.newClaim()
		before := x.start(claim).Record
		x.advance(x.unit)

		got := end.op(claim)
		x.at("EndedAt after "+end.name, got.Record.EndedAt, got.Now)
		x.at("FirstStart after "+end.name, got.Record.FirstStart, before.FirstStart)
		x.at("LastStart after "+end.name, got.Record.LastStart, before.LastStart)

		if got.Record.State != store.Completed {
			x.at("OwnerAliveUntil after "+end.name, got.Record.OwnerAliveUntil, before.OwnerAliveUntil)
		}

		if end.expires {
			x.at("ExpiresAt after "+end.name, got.Record.ExpiresAt, got.Now.Add(long))
		}
	}
}

func timesTombstone(x *env) {
	got := x.release(x.newClaim())
	x.at("FirstStart of a tombstone", got.Record.FirstStart, time.Time{})
	x.at("EndedAt of a tombstone", got.Record.EndedAt, got.Now)
	x.at("ExpiresAt of a tombstone", got.Record.ExpiresAt, got.Now.Add(long))

	if got.Record.Attempts != 0 {
		x.brokenf(attempts, "a tombstone counts %d runs", got.Record.Attempts)
	}

	x.advance(x.unit)

	claim := x.newClaim()
	claim.Fence = 1
	next := x.start(claim)
	x.at("FirstStart of the first run after a tombstone", next.Record.FirstStart, next.Now)
}

func timesOrder(x *env) {
	last := x.now()

	for range 100 {
		now := x.now()
		if now.Before(last) {
			x.brokenf(contents, "the store's clock went back by %v", last.Sub(now))
		}

		last = now
	}
}

package storetest

import "github.com/onlyonce-go/onlyonce/store"

func doubtChecks() []check {
	return []check{
		{"a first run is in no doubt", doubtFirst},
		{"a takeover leaves the record in doubt, through releases and later runs", doubtTakeover},
		{"an ambiguous release leaves it in doubt, another does not", doubtRelease},
		{"a copy of an ambiguous release changes nothing", doubtTwice},
	}
}

func (x *env) mustDoubt(what string, got store.Result, want bool) {
	x.Helper()

	if got.Record.Doubtful != want {
		x.brokenf(doubt, "%s: Doubtful is %t", what, got.Record.Doubtful)
	}
}

func (x *env) releaseAmbiguous(owner store.Claim) store.Result {
	x.Helper()
	res, err := x.store.Release(x.ctx, store.Release{Claim: owner, Ambiguous: true})

	return x.must("Release", res, err)
}

func doubtFirst(x *env) {
	first := x.newClaim()
	x.mustDoubt("a first run", x.start(first), false)
	x.mustDoubt("its renewal", x.renew(first, long), false)
	x.mustDoubt("its completion", x.complete(first, theOutcome), false)
}

func doubtTakeover(x *env) {
	x.startShort(x.shortClaim())

	second := x.newClaim()
	second.Fence = 1
	x.mustDoubt("a takeover", x.start(second), true)
	x.mustDoubt("its release", x.release(second), true)

	third := x.newClaim()
	third.Fence = 2
	x.mustDoubt("the run after it", x.start(third), true)
	x.mustDoubt("its release", x.release(third), true)
}

func doubtRelease(x *env) {
	first := x.newClaim()
	x.start(first)
	x.mustDoubt("a release", x.release(first), false)

	second := x.newClaim()
	second.Fence = 1
	x.mustDoubt("the run after it", x.start(second), false)
	x.mustDoubt("an ambiguous release", x.releaseAmbiguous(second), true)

	third := x.newClaim()
	third.Fence = 2
	x.mustDoubt("the run after an ambiguous release", x.start(third), true)
}

func doubtTwice(x *env) {
	first := x.newClaim()
	x.start(first)
	x.releaseAmbiguous(first)

	got := x.releaseAmbiguous(first)
	x.mustDoubt("a copy of an ambiguous release", got, true)

	if !got.Applied {
		x.brokenf(resends, "a copy of an ambiguous release is not recognised")
	}
}

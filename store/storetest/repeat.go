package storetest

import "github.com/onlyonce-go/onlyonce/store"

// copies is how many copies of an operation follow it.
const copies = 3

// repeatChecks lose the reply to an operation and send it again.
func repeatChecks() []check {
	return []check{
		{"a claim whose reply is lost is won by its copy", lostClaim},
		{"a takeover whose reply is lost is won by its copy", lostTakeover},
		{"a claim of a released key whose reply is lost is won by its copy", lostReclaim},
		{"a claim whose reply is lost for longer than the lease is won by its copy, with a new fence", lostRevival},
		{"a completion whose reply is lost is applied by its copy", lostCompletion},
		{"a completion whose reply is lost is applied by its copy, even long after the lease has ended", lostLateCompletion},
		{"another outcome of the same owner is answered by the recorded one", secondOutcome},
		{"a release whose reply is lost is applied by its copy", lostRelease},
		{"a hold whose reply is lost is applied by its copy", lostHold},
		{"a renewal whose reply is lost is applied by its copy, and only the lease moves", lostRenewal},
		{"a release before its claim leaves one tombstone, however often it arrives", lostTombstone},
		{"a release of a claim that lost raises the fence once, however often it arrives", lostWithdrawal},
	}
}

func lostClaim(x *env) {
	claim := x.newClaim()
	x.claim(claim)

	for range copies {
		x.expect(resends, "the copy of a claim that has won", x.claim(claim),
			want{true, store.Running, claim.Token, 1, ""})
	}
}

func lostTakeover(x *env) {
	first := x.startShort(x.shortClaim())

	claim := x.newClaim()
	claim.Fence = first.Record.Fence
	x.claim(claim)

	for range copies {
		x.expect(resends, "the copy of a claim that has taken over", x.claim(claim),
			want{true, store.Running, claim.Token, 2, ""})
	}
}

func lostReclaim(x *env) {
	first := x.newClaim()
	x.start(first)
	x.release(first)

	claim := x.newClaim()
	claim.Fence = 1
	x.claim(claim)

	for range copies {
		x.expect(resends, "the copy of a claim that has won a released key", x.claim(claim),
			want{true, store.Running, claim.Token, 2, ""})
	}
}

func lostRevival(x *env) {
	claim := x.shortClaim()
	x.startShort(claim)

	claim.Lease = long
	if !x.expect(revival, "the copy of a claim whose lease has ended", x.claim(claim),
		want{true, store.Running, claim.Token, 2, ""}) {
		return
	}

	for range copies {
		x.expect(resends, "the copy of a claim that has won its lease back", x.claim(claim),
			want{true, store.Running, claim.Token, 2, ""})
	}

	late := x.newClaim()
	late.Fence = 1
	x.expect(revival, "a takeover that expects the fence from before the lease was won back", x.claim(late),
		want{false, store.Running, claim.Token, 2, ""})
}

func lostCompletion(x *env) {
	claim := x.newClaim()
	x.start(claim)
	x.complete(claim, theOutcome)

	for range copies {
		x.expect(resends, "the copy of a completion", x.complete(claim, theOutcome),
			want{true, store.Completed, claim.Token, 1, theOutcome})
	}
}

func lostLateCompletion(x *env) {
	claim := x.shortClaim()
	x.startShort(claim)
	x.expect(settlement, "a completion by the owner, whose lease has ended and whom nobody has overtaken",
		x.complete(claim, theOutcome), want{true, store.Completed, claim.Token, 1, theOutcome})
	x.advance(3 * x.unit)
	x.expect(resends, "the copy of a completion, long after the lease has ended", x.complete(claim, theOutcome),
		want{true, store.Completed, claim.Token, 1, theOutcome})
}

func secondOutcome(x *env) {
	claim := x.newClaim()
	x.start(claim)
	x.complete(claim, theOutcome)

	for range copies {
		x.expect(resends, "another outcome of the same owner", x.complete(claim, otherOutcome),
			want{false, store.Completed, claim.Token, 1, theOutcome})
	}
}

func lostRelease(x *env) {
	claim := x.newClaim()
	x.start(claim)

	for range 1 + copies {
		x.expect(resends, "a release, or the copy of it", x.release(claim),
			want{true, store.Released, claim.Token, 1, ""})
	}
}

func lostHold(x *env) {
	claim := x.newClaim()
	x.start(claim)

	for range 1 + copies {
		x.expect(resends, "a hold, or the copy of it", x.hold(claim, theNote),
			want{true, store.Unknown, claim.Token, 1, theNote})
	}
}

func lostRenewal(x *env) {
	claim := x.newClaim()
	before := x.start(claim)

	for range 1 + copies {
		got := x.renew(claim, 2*long)
		x.expect(resends, "a renewal, or the copy of it", got, want{true, store.Running, claim.Token, 1, ""})

		before.Record.LeaseUntil = got.Record.LeaseUntil
		if d := everything(&got.Record, &before.Record); d != "" {
			x.brokenf(contents, "a renewal changed more than the lease: %s", d)
		}
	}
}

func lostTombstone(x *env) {
	claim := x.newClaim()

	for range 1 + copies {
		x.expect(withdrawal, "a release before its claim, or the copy of it", x.release(claim),
			want{true, store.Released, claim.Token, 1, ""})
	}
}

func lostWithdrawal(x *env) {
	owner := x.newClaim()
	x.start(owner)
	x.release(owner)

	loser := x.newClaim()
	loser.Fence = 1

	for range 1 + copies {
		x.expect(withdrawal, "a release of a claim that expects the fence of a released key, or the copy of it",
			x.release(loser), want{false, store.Released, owner.Token, 2, ""})
	}
}

package storetest

import "github.com/onlyonce-go/onlyonce/store"

// lateChecks let a copy of an operation arrive after the record has changed.
func lateChecks() []check {
	return []check{
		{"a claim after its own completion gets the outcome", lateClaimAfterCompletion},
		{"a claim after its own release loses", lateClaimAfterRelease},
		{"a claim after its own hold loses", lateClaimAfterHold},
		{"a claim after a takeover loses", lateClaimAfterTakeover},
		{"a claim after its own release that came first loses", lateClaimAfterTombstone},
		{"a claim of a released key, withdrawn before it arrives, loses", lateClaimAfterWithdrawal},
		{"a takeover, withdrawn before it arrives, loses", lateTakeoverAfterWithdrawal},
		{"a losing claim does not win once the key is released", lateLosingClaim},
		{"a release after another claim leaves the new owner alone", lateRelease},
		{"a completion after a takeover is refused, and then gets the outcome of the winner", lateCompletion},
		{"a renewal, a release and a hold after a takeover are refused", lateWrites},
		{"a renewal after the end of the run does not bring it back", lateRenewal},
		{"a hold after the completion leaves the outcome alone", lateHold},
	}
}

func lateClaimAfterCompletion(x *env) {
	claim := x.newClaim()
	x.start(claim)
	x.complete(claim, theOutcome)
	x.expect(finality, "the copy of a claim, after its completion", x.claim(claim),
		want{false, store.Completed, claim.Token, 1, theOutcome})
}

func lateClaimAfterRelease(x *env) {
	claim := x.newClaim()
	x.start(claim)
	x.release(claim)
	x.expect(withdrawal, "the copy of a claim, after its release", x.claim(claim),
		want{false, store.Released, claim.Token, 1, ""})

	claim.Fence = 1
	x.expect(withdrawal, "a claim by a token that was released, expecting the fence", x.claim(claim),
		want{false, store.Released, claim.Token, 1, ""})
}

func lateClaimAfterHold(x *env) {
	claim := x.newClaim()
	x.start(claim)
	x.hold(claim, theNote)
	x.expect(settlement, "the copy of a claim, after its hold", x.claim(claim),
		want{false, store.Unknown, claim.Token, 1, theNote})
}

// overtaken makes a key whose first owner's lease has ended and which the second owner has taken over with fence 2.
func (x *env) overtaken() (first, second store.Claim) {
	x.Helper()

	first = x.shortClaim()
	x.startShort(first)

	second = x.newClaim()
	second.Fence = 1
	x.start(second)

	return first, second
}

func lateClaimAfterTakeover(x *env) {
	first, second := x.overtaken()
	x.expect(expectedFence, "the copy of a claim, after a takeover", x.claim(first),
		want{false, store.Running, second.Token, 2, ""})
}

func lateClaimAfterTombstone(x *env) {
	claim := x.newClaim()
	x.release(claim)

	for range copies {
		x.expect(withdrawal, "a claim that lands after its release", x.claim(claim),
			want{false, store.Released, claim.Token, 1, ""})
	}
}

func lateClaimAfterWithdrawal(x *env) {
	owner := x.newClaim()
	x.start(owner)
	x.release(owner)

	claim := x.newClaim()
	claim.Fence = 1
	x.release(claim)
	x.expect(withdrawal, "a claim of a released key that lands after its release", x.claim(claim),
		want{false, store.Released, owner.Token, 2, ""})
}

func lateTakeoverAfterWithdrawal(x *env) {
	owner := x.shortClaim()
	x.startShort(owner)

	claim := x.newClaim()
	claim.Fence = 1
	x.release(claim)
	x.expect(withdrawal, "a takeover that lands after its release", x.claim(claim),
		want{false, store.Running, owner.Token, 2, ""})
	x.expect(settlement, "a completion after the fence was raised by the release of another claim",
		x.complete(owner, theOutcome), want{true, store.Completed, owner.Token, 2, theOutcome})
}

func lateLosingClaim(x *env) {
	owner, loser := x.newClaim(), x.newClaim()
	x.start(owner)
	x.claim(loser)
	x.release(owner)
	x.expect(expectedFence, "the copy of a claim that lost, after the key was released", x.claim(loser),
		want{false, store.Released, owner.Token, 1, ""})
}

func lateRelease(x *env) {
	first := x.newClaim()
	x.start(first)
	x.release(first)

	second := x.newClaim()
	second.Fence = 1
	x.start(second)
	x.expect(fenced, "the copy of a release, after another claim", x.release(first),
		want{false, store.Running, second.Token, 2, ""})
	x.expect(fenced, "the completion after the copy of somebody else's release", x.complete(second, theOutcome),
		want{true, store.Completed, second.Token, 2, theOutcome})
}

func lateCompletion(x *env) {
	first, second := x.overtaken()
	x.expect(fenced, "a completion after a takeover", x.complete(first, "of the first owner"),
		want{false, store.Running, second.Token, 2, ""})
	x.complete(second, theOutcome)
	x.expect(fenced, "a completion after a takeover that has completed", x.complete(first, "of the first owner"),
		want{false, store.Completed, second.Token, 2, theOutcome})
	x.expect(fenced, "a completion after a takeover that has completed with the same outcome",
		x.complete(first, theOutcome), want{false, store.Completed, second.Token, 2, theOutcome})
}

func lateWrites(x *env) {
	first, second := x.overtaken()
	running := want{false, store.Running, second.Token, 2, ""}
	x.expect(fenced, "a renewal after a takeover", x.renew(first, 2*long), running)
	x.expect(fenced, "a release after a takeover", x.release(first), running)
	x.expect(fenced, "a hold after a takeover", x.hold(first, theNote), running)
}

func lateRenewal(x *env) {
	for _, end := range []struct {
		name    string
		op      func(claim store.Claim)
		state   store.State
		outcome string
	}{
		{"completion", func(c store.Claim) { x.complete(c, theOutcome) }, store.Completed, theOutcome},
		{"release", func(c store.Claim) { x.release(c) }, store.Released, ""},
		{"hold", func(c store.Claim) { x.hold(c, theNote) }, store.Unknown, theNote},
	} {
		x.newKey()

		claim := x.newClaim()
		x.start(claim)
		end.op(claim)
		x.expect(fenced, "a renewal after the "+end.name, x.renew(claim, long),
			want{false, end.state, claim.Token, 1, end.outcome})
	}
}

func lateHold(x *env) {
	claim := x.newClaim()
	x.start(claim)
	x.complete(claim, theOutcome)

	for range copies {
		x.expect(finality, "a hold after the completion", x.hold(claim, theNote),
			want{false, store.Completed, claim.Token, 1, theOutcome})
	}
}

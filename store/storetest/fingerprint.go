package storetest

import "github.com/onlyonce-go/onlyonce/store"

func fingerprintChecks() []check {
	checks := []check{{"a tombstone keeps the fingerprint and refuses another request", fingerprintTombstone}}

	for _, found := range []condition{alive, ended, held, released, completed} {
		checks = append(checks,
			check{
				string(found) + " keeps the fingerprint and refuses another request",
				func(x *env) { fingerprintDiffers(x, found) },
			},
			check{
				string(found) + " takes a fingerprint of another scheme for the same request",
				func(x *env) { fingerprintOtherScheme(x, found) },
			},
		)
	}

	return append(checks,
		check{"it is kept from the first request to the last run", fingerprintKept},
		check{"it binds no longer than the record lives", fingerprintForgotten},
	)
}

// otherRequest returns a claim of another request that would win if it were the same request.
func (x *env) otherRequest(fence uint64) store.Claim {
	claim := x.newClaim()
	claim.Fence = fence
	claim.Fingerprint.Sum[31]++

	return claim
}

func fingerprintDiffers(x *env, found condition) {
	_, before := x.arrange(found, store.AtLeastOnce)
	x.refused(string(found), x.claim(x.otherRequest(before.Fence)), before)
}

func (x *env) refused(found string, got store.Result, before store.Record) {
	x.Helper()

	if got.Applied {
		x.brokenf(binding, "a claim with another fingerprint won over %s", found)

		return
	}

	if d := meaning(&got.Record, &before); d != "" {
		x.brokenf(binding, "a claim with another fingerprint changed %s: %s", found, d)
	}
}

func fingerprintTombstone(x *env) {
	got := x.release(x.newClaim())
	x.refused("a tombstone", x.claim(x.otherRequest(got.Record.Fence)), got.Record)
}

func fingerprintOtherScheme(x *env, found condition) {
	_, before := x.arrange(found, store.AtLeastOnce)

	claim := x.otherRequest(before.Fence)
	claim.Fingerprint.Scheme++

	got := x.claim(claim)

	if may := found == ended || found == released; got.Applied != may {
		x.brokenf(binding, "a claim with a fingerprint of another scheme found %s: Applied is %t, must be %t",
			found, got.Applied, may)
	}

	if got.Record.Fingerprint != before.Fingerprint {
		x.brokenf(binding, "a claim with a fingerprint of another scheme replaced that of %s", found)
	}
}

func fingerprintKept(x *env) {
	first := x.shortClaim()
	res := x.startShort(first)

	for _, end := range []func(store.Claim){
		func(store.Claim) {},
		func(c store.Claim) { x.release(c) },
		func(store.Claim) {},
	} {
		claim := x.shortClaim()
		claim.Fence = res.Record.Fence
		res = x.startShort(claim)
		end(claim)

		if res.Record.Fingerprint != first.Fingerprint {
			x.brokenf(binding, "a run after the first one has replaced the fingerprint")
		}
	}

	now := x.read().Record
	x.refused("a key that was released and overtaken", x.claim(x.otherRequest(now.Fence)), now)
}

func fingerprintForgotten(x *env) {
	claim := x.newClaim()
	claim.Retention = x.unit
	x.start(claim)
	x.pass(x.complete(claim, theOutcome).Record.ExpiresAt)

	other := x.otherRequest(0)
	x.expect(binding, "another request after the record has expired", x.claim(other),
		want{true, store.Running, other.Token, 1, ""})
}

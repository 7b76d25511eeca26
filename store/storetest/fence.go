package storetest

import (
	"math"

	"github.com/onlyonce-go/onlyonce/store"
)

func fenceChecks() []check {
	return []check{
		{"the first run has fence 1", fenceStart},
		{"it rises with every release and takeover in a record's life", fenceRises},
		{"it rises when a renewal or the owner's claim brings an ended lease back", fenceRevival},
		{"it rises over a tombstone", fenceTombstone},
		{"no other operation moves it", fenceRests},
		{"a claim that expects another fence loses, whatever the record", fenceExpected},
	}
}

func fenceStart(x *env) {
	if got := x.start(x.newClaim()); got.Record.Fence != 1 {
		x.brokenf(fenceOrder, "the first run has fence %d, must be 1", got.Record.Fence)
	}
}

func fenceRises(x *env) {
	var fence uint64

	// Every second run is released, the others are taken over.
	for run := range 6 {
		claim := x.shortClaim()
		claim.Fence = fence
		got := x.claim(claim)

		fence++
		if !x.expect(fenceOrder, "a run after others were released and overtaken", got,
			want{true, store.Running, claim.Token, fence, ""}) {
			return
		}

		if run%2 == 0 {
			x.expect(fenceOrder, "a release", x.release(claim), want{true, store.Released, claim.Token, fence, ""})

			continue
		}

		x.pass(got.Record.LeaseUntil)
	}
}

func fenceRevival(x *env) {
	claim := x.shortClaim()
	x.startShort(claim)

	got := x.renew(claim, x.unit)
	if !x.expect(revival, "a renewal after the end of the lease", got, want{true, store.Running, claim.Token, 2, ""}) {
		return
	}

	x.pass(got.Record.LeaseUntil)

	claim.Lease = long
	if !x.expect(revival, "the owner's claim after the end of the lease", x.claim(claim),
		want{true, store.Running, claim.Token, 3, ""}) {
		return
	}

	other := x.newClaim()
	for fence := range uint64(5) {
		other.Fence = fence
		x.expect(revival, "a takeover after the lease was brought back", x.claim(other),
			want{false, store.Running, claim.Token, 3, ""})
	}
}

func fenceTombstone(x *env) {
	x.release(x.newClaim())

	claim := x.newClaim()
	claim.Fence = 1
	x.expect(fenceOrder, "a claim of a key with a tombstone", x.claim(claim),
		want{true, store.Running, claim.Token, 2, ""})
}

func fenceRests(x *env) {
	first := x.newClaim()
	x.start(first)
	x.release(first)

	claim := x.newClaim()
	claim.Fence = 1
	x.start(claim)

	results := []store.Result{
		x.renew(claim, long), x.claim(claim), x.claim(x.newClaim()), x.hold(claim, theNote),
		x.complete(claim, theOutcome), x.complete(claim, otherOutcome), x.release(claim), x.claim(x.newClaim()),
	}
	for i := range results {
		got := &results[i]
		if got.Record.Fence != 2 {
			x.brokenf(fenceOrder, "the fence of a run moved from 2 to %d; the record is %v",
				got.Record.Fence, got.Record.State)
		}
	}
}

func fenceExpected(x *env) {
	// A claim that expects a record creates none, so a claim can read a key.
	for _, fence := range []uint64{1, math.MaxUint32, 1 << 63} {
		late := x.newClaim()
		late.Fence = fence
		x.expect(expectedFence, "a claim that expects a fence where there is no record", x.claim(late), want{})
		x.expect(expectedFence, "the same again", x.claim(late), want{})
	}

	own := x.newClaim()
	x.start(own)
	x.release(own)

	again := x.newClaim()
	again.Fence = 1
	x.start(again)
	x.release(again)

	for _, fence := range []uint64{0, 1, 3, 1 << 63} {
		late := x.newClaim()
		late.Fence = fence
		x.expect(expectedFence, "a claim that expects another fence than a released key has", x.claim(late),
			want{false, store.Released, again.Token, 2, ""})
	}
}

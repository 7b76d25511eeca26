package storetest

import (
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func unknownChecks() []check {
	return []check{
		{"an unsettled record is there until it ends, and not at the end", unknownEnds},
		{"an unsettled record is there while its owner may be alive, even after it", unknownOwner},
		{"what settles a record in time keeps it for its retention", unknownSettled},
	}
}

// mortal returns the unknown retention. It returns false if a check cannot wait for it.
func (x *env) mortal() (time.Duration, bool) {
	x.Helper()

	life := x.can.UnknownRetention

	switch {
	case life <= 0:
		x.Logf("%T keeps unsettled records for ever", x.raw)
	case !x.bubble:
		x.Logf("%v is too long to wait for on a real clock", life)
	default:
		return life, true
	}

	return 0, false
}

func unknownEnds(x *env) {
	life, ok := x.mortal()
	if !ok {
		return
	}

	for _, last := range []struct {
		name string
		op   func(own store.Claim) store.Result
	}{
		{"its claim", func(own store.Claim) store.Result { return x.claim(own) }},
		{"its renewal", func(own store.Claim) store.Result { return x.renew(own, x.unit) }},
		{"its hold", func(own store.Claim) store.Result { return x.hold(own, theNote) }},
	} {
		x.newKey()

		own := x.shortClaim()
		own.Guarantee = store.AtMostOnce
		x.startShort(own)

		written := last.op(own)
		end := later(written.Now.Add(life), written.Record.OwnerAliveUntil)

		x.approach(end, func() bool {
			got := x.claim(x.newClaim())

			switch over := !got.Now.Before(end); {
			case over && (!got.Applied || got.Record.Fence != 1):
				x.brokenf(unsettled, "a claim %v after %s, with an unknown retention of %v: Applied is %t with fence %d, must win an absent record",
					got.Now.Sub(written.Now), last.name, life, got.Applied, got.Record.Fence)
			case !over && (got.Applied || got.Record.State != written.Record.State):
				x.brokenf(unsettled, "a claim %v after %s, with an unknown retention of %v: Applied is %t and the record is %v, must still be there",
					got.Now.Sub(written.Now), last.name, life, got.Applied, got.Record.State)
			}

			return got.Applied
		})
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}

	return a
}

func unknownOwner(x *env) {
	life, ok := x.mortal()
	if !ok {
		return
	}

	own := x.shortClaim()
	own.Guarantee, own.MaxRun = store.AtMostOnce, 2*life
	until := x.start(own).Record.OwnerAliveUntil
	x.until(until.Add(-1))

	got := x.claim(x.newClaim())
	x.expect(unsettled, "a claim while the owner of an old record may be alive", got, want{false, store.Running, own.Token, 1, ""})
}

func unknownSettled(x *env) {
	life, ok := x.mortal()
	if !ok {
		return
	}

	own := x.newClaim()
	own.Retention = 2 * life
	x.start(own)
	x.hold(own, theNote)
	x.until(x.complete(own, theOutcome).Record.ExpiresAt.Add(-1))
	x.expect(kept, "a claim within the retention, after the unknown retention", x.claim(x.newClaim()),
		want{false, store.Completed, own.Token, 1, theOutcome})
}

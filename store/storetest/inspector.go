package storetest

import (
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// inspected is a check of a store that implements store.Inspector.
type inspected struct {
	*env

	inspector store.Inspector
}

func inspectorChecks() []check {
	all := []struct {
		name string
		run  func(x *inspected)
	}{
		{"Lookup reads what is there and changes nothing", lookupReads},
		{"Lookup of a key without a record finds it absent and leaves it so", lookupAbsent},
		{"Lookup finds no record at the end of its retention", lookupExpired},
		{"Resolve settles an UNKNOWN record as COMPLETED at once", resolveUnknown},
		{"Resolve settles a RUNNING record as COMPLETED once its lease has ended", resolveEnded},
		{"Resolve settles as RELEASED once the owner cannot be alive, and not before", resolveCareful},
		{"Resolve of a RUNNING record as RELEASED is refused while the owner may still be alive", resolveCarefulEnded},
		{"Resolve as RELEASED is refused if AsOf is a time at which the owner may have been alive", resolveEarlyLook},
		{"Resolve leaves a run alone whose lease is alive", resolveAlive},
		{"Resolve leaves a record alone that is settled", resolveSettled},
		{"Resolve leaves an absent record absent", resolveAbsent},
		{"Resolve with another fence changes nothing", resolveFence},
		{"Resolve of another owner changes nothing", resolveOther},
		{"Resolve as anything but COMPLETED or RELEASED changes nothing", resolveNonsense},
		{"a copy of Resolve is recognised", resolveTwice},
		{"a late owner gets what was resolved as COMPLETED", resolveLateOwner},
		{"a late owner leaves alone what was resolved as RELEASED", resolveLateOwnerReleased},
		{"a key resolved as RELEASED can be claimed, and is not resolved any more", resolveReclaim},
	}
	checks := make([]check, 0, len(all))

	for _, c := range all {
		checks = append(checks, check{c.name, func(x *env) {
			if x.can.Inspector == nil {
				x.Logf("%T has no store.Inspector", x.raw)

				return
			}

			c.run(&inspected{x, x.can.Inspector})
		}})
	}

	return checks
}

func (x *inspected) lookup() store.Result {
	x.Helper()
	res, err := x.inspector.Lookup(x.ctx, x.key)

	return x.must("Lookup", res, err)
}

func (x *inspected) resolve(fence uint64, state store.State) store.Result {
	x.Helper()
	res, err := x.inspector.Resolve(x.ctx, store.Resolution{
		Key: x.key, Token: x.lookup().Record.Token, Fence: fence, State: state, Outcome: []byte(theOutcome),
	})

	return x.must("Resolve", res, err)
}

// heldRun makes an Unknown record whose owner cannot settle it any more, unless it is late.
func (x *inspected) heldRun() store.Claim {
	x.Helper()

	claim := x.shortClaim()
	x.startShort(claim)
	x.hold(claim, theNote)

	return claim
}

func lookupReads(x *inspected) {
	for _, found := range []condition{alive, ended, held, released, completed} {
		x.newKey()
		_, before := x.arrange(found, store.AtLeastOnce)

		for range copies {
			got := x.lookup()
			if got.Applied {
				x.brokenf(inspector, "Lookup of %s: Applied is true", found)
			}

			if d := everything(&got.Record, &before); d != "" {
				x.brokenf(inspector, "Lookup of %s: %s", found, d)
			}

			if d := everything(new(x.read().Record), &before); d != "" {
				x.brokenf(inspector, "Lookup changed %s: %s", found, d)
			}
		}
	}
}

func lookupAbsent(x *inspected) {
	x.expect(inspector, "Lookup of a key without a record", x.lookup(), want{state: store.Absent})

	claim := x.newClaim()
	x.expect(inspector, "a claim after Lookup", x.claim(claim), want{true, store.Running, claim.Token, 1, ""})
}

func lookupExpired(x *inspected) {
	claim := x.newClaim()
	claim.Retention = 4 * x.unit
	x.start(claim)
	expires := x.complete(claim, theOutcome).Record.ExpiresAt

	x.approach(expires, func() bool {
		got := x.lookup()
		there := got.Record.State == store.Completed

		if before := got.Now.Before(expires); before != there && !x.doubtful(got.Now, expires) {
			x.brokenf(inspector, "Lookup %v before the retention ended: the record is %v",
				expires.Sub(got.Now), got.Record.State)
		}

		return !there
	})
}

// resolved checks the result of a resolution that must take effect.
func (x *inspected) resolved(what string, got store.Result, w want) {
	x.Helper()

	if !x.expect(inspector, what, got, w) {
		return
	}

	if !got.Record.Resolved {
		x.brokenf(settlement, "%s: Resolved is false", what)
	}

	x.at("EndedAt after "+what, got.Record.EndedAt, got.Now)
	x.at("ExpiresAt after "+what, got.Record.ExpiresAt, got.Now.Add(long))

	if d := everything(new(x.lookup().Record), &got.Record); d != "" {
		x.brokenf(atomicity, "%s returned another record than it left behind: %s", what, d)
	}
}

func resolveUnknown(x *inspected) {
	claim := x.newClaim()
	x.start(claim)
	x.hold(claim, theNote)
	x.resolved("a resolution as COMPLETED", x.resolve(1, store.Completed),
		want{true, store.Completed, claim.Token, 1, theOutcome})
	x.expect(finality, "a claim after a resolution as COMPLETED", x.claim(x.newClaim()),
		want{false, store.Completed, claim.Token, 1, theOutcome})
}

func resolveEnded(x *inspected) {
	claim := x.shortClaim()
	claim.MaxRun = long
	x.pass(x.start(claim).Record.LeaseUntil)
	x.resolved("a resolution as COMPLETED", x.resolve(1, store.Completed),
		want{true, store.Completed, claim.Token, 1, theOutcome})
}

func resolveCareful(x *inspected) {
	claim := x.newClaim()
	claim.Lease, claim.MaxRun = x.unit, 3*x.unit
	until := x.start(claim).Record.OwnerAliveUntil
	x.hold(claim, theNote)
	x.carefully(claim, until)
}

func resolveCarefulEnded(x *inspected) {
	claim := x.newClaim()
	claim.Lease, claim.MaxRun = x.unit, 3*x.unit
	res := x.start(claim)
	x.pass(res.Record.LeaseUntil)
	x.carefully(claim, res.Record.OwnerAliveUntil)
}

func (x *inspected) carefully(claim store.Claim, until time.Time) {
	x.Helper()
	x.approach(until, func() bool {
		got := x.resolve(1, store.Released)

		switch dead := !got.Now.Before(until); {
		case x.doubtful(got.Now, until):
		case !dead && (got.Applied || got.Record.State == store.Released):
			x.brokenf(ownerAlive, "a resolution as RELEASED %v before the owner must be dead was accepted", until.Sub(got.Now))
		case dead:
			x.resolved("a resolution as RELEASED, once the owner must be dead", got,
				want{true, store.Released, claim.Token, 1, theOutcome})
		}

		return got.Applied
	})
}

func resolveEarlyLook(x *inspected) {
	claim := x.heldRun()
	rec := x.lookup().Record

	resolveAsOf := func(asOf time.Time) store.Result {
		res, err := x.inspector.Resolve(x.ctx, store.Resolution{
			Key: x.key, Token: rec.Token, Fence: rec.Fence, State: store.Released, AsOf: asOf,
		})

		return x.must("Resolve", res, err)
	}

	x.expect(ownerAlive, "a resolution as RELEASED that arrives late, as of the start of the run", resolveAsOf(rec.LastStart),
		want{false, store.Unknown, claim.Token, rec.Fence, theNote})
	x.expect(ownerAlive, "a resolution as RELEASED as of the time when the owner is dead", resolveAsOf(rec.OwnerAliveUntil),
		want{true, store.Released, claim.Token, rec.Fence, ""})
}

// resolveOther sends a late copy with the token of an owner of which nothing is left.
func resolveOther(x *inspected) {
	claim := x.heldRun()
	rec := x.lookup().Record

	for _, state := range []store.State{store.Completed, store.Released} {
		res, err := x.inspector.Resolve(x.ctx, store.Resolution{
			Key: x.key, Token: newToken(), Fence: rec.Fence, State: state, Outcome: []byte(theOutcome), AsOf: rec.OwnerAliveUntil,
		})
		x.expect(settlement, fmt.Sprintf("a resolution as %v that names another owner", state), x.must("Resolve", res, err),
			want{false, store.Unknown, claim.Token, rec.Fence, theNote})
	}
}

func resolveAlive(x *inspected) {
	claim := x.newClaim()
	claim.MaxRun = 0
	x.start(claim)

	for _, state := range []store.State{store.Completed, store.Released} {
		x.expect(ownerAlive, fmt.Sprintf("a resolution as %v of a run whose lease is alive", state), x.resolve(1, state),
			want{false, store.Running, claim.Token, 1, ""})
	}
}

func resolveSettled(x *inspected) {
	for _, found := range []condition{released, completed} {
		for _, state := range []store.State{store.Completed, store.Released} {
			x.newKey()
			_, before := x.arrange(found, store.AtLeastOnce)

			got := x.resolve(before.Fence, state)
			if d := everything(&got.Record, &before); got.Applied || d != "" {
				x.brokenf(finality, "a resolution as %v of %s: Applied is %t; %s", state, found, got.Applied, d)
			}
		}
	}
}

func resolveAbsent(x *inspected) {
	for fence := range uint64(2) {
		for _, state := range []store.State{store.Completed, store.Released} {
			x.expect(inspector, "a resolution of an absent record", x.resolve(fence, state), want{state: store.Absent})
		}
	}
}

func resolveFence(x *inspected) {
	claim := x.heldRun()

	for _, fence := range []uint64{0, 2, 1 << 63} {
		for _, state := range []store.State{store.Completed, store.Released} {
			x.expect(inspector, "a resolution with another fence", x.resolve(fence, state),
				want{false, store.Unknown, claim.Token, 1, theNote})
		}
	}
}

func resolveNonsense(x *inspected) {
	claim := x.heldRun()

	for _, state := range []store.State{store.Absent, store.Running, store.Unknown, store.State(200)} {
		x.expect(inspector, fmt.Sprintf("a resolution as %v", state), x.resolve(1, state),
			want{false, store.Unknown, claim.Token, 1, theNote})
	}
}

func resolveTwice(x *inspected) {
	for _, state := range []store.State{store.Completed, store.Released} {
		x.newKey()

		claim := x.heldRun()
		first := x.resolve(1, state)
		x.advance(x.unit)

		for range copies {
			got := x.resolve(1, state)
			x.expect(resends, "the copy of a resolution", got, want{true, state, claim.Token, 1, theOutcome})

			if d := everything(&got.Record, &first.Record); d != "" {
				x.brokenf(resends, "the copy of a resolution changed the record: %s", d)
			}
		}
	}
}

func resolveLateOwner(x *inspected) {
	claim := x.heldRun()
	x.resolve(1, store.Completed)

	resolved := want{false, store.Completed, claim.Token, 1, theOutcome}
	x.expect(settlement, "a late completion after a resolution as COMPLETED", x.complete(claim, otherOutcome), resolved)
	x.expect(settlement, "a late release after a resolution as COMPLETED", x.release(claim), resolved)
	x.expect(settlement, "a late hold after a resolution as COMPLETED", x.hold(claim, theNote), resolved)
	x.expect(settlement, "a late renewal after a resolution as COMPLETED", x.renew(claim, long), resolved)
	x.expect(settlement, "a late claim after a resolution as COMPLETED", x.claim(claim), resolved)

	resolved.applied = true
	x.expect(resends, "a late completion with the outcome that was resolved", x.complete(claim, theOutcome), resolved)
}

func resolveLateOwnerReleased(x *inspected) {
	claim := x.heldRun()
	x.resolve(1, store.Released)

	resolved := want{false, store.Released, claim.Token, 1, theOutcome}
	x.expect(settlement, "a late completion after a resolution as RELEASED", x.complete(claim, theOutcome), resolved)
	x.expect(settlement, "a late hold after a resolution as RELEASED", x.hold(claim, theNote), resolved)
	x.expect(settlement, "a late renewal after a resolution as RELEASED", x.renew(claim, long), resolved)
	x.expect(settlement, "a late claim after a resolution as RELEASED", x.claim(claim), resolved)

	resolved.applied = true
	x.expect(resends, "a late release after a resolution as RELEASED", x.release(claim), resolved)
}

func resolveReclaim(x *inspected) {
	x.heldRun()
	x.resolve(1, store.Released)

	claim := x.newClaim()
	claim.Fence = 1

	got := x.claim(claim)
	if !x.expect(inspector, "a claim after a resolution as RELEASED", got,
		want{true, store.Running, claim.Token, 2, ""}) {
		return
	}

	if got.Record.Resolved {
		x.brokenf(settlement, "a run after a resolution counts as resolved")
	}

	x.expect(inspector, "the copy of a resolution, after another claim", x.resolve(1, store.Completed),
		want{false, store.Running, claim.Token, 2, ""})
}

package storetest

import (
	"fmt"

	"github.com/onlyonce-go/onlyonce/store"
)

// forgotten is a check of a store that implements store.Forgetter.
type forgotten struct {
	*env

	forgetter store.Forgetter
}

func forgetterChecks() []check {
	all := []struct {
		name string
		run  func(x *forgotten)
	}{
		{"Forget removes a settled record, and the next claim starts a new life", forgetSettled},
		{"Forget removes an unsettled record once the owner cannot be alive, and not before", forgetCareful},
		{"Forget leaves a run alone whose lease is alive", forgetAlive},
		{"Forget removes any record where it is forced", forgetForced},
		{"Forget with another token or another fence changes nothing, even where it is forced", forgetOther},
		{"Forget of an absent record leaves it absent", forgetAbsent},
		{"a copy of Forget is recognised", forgetTwice},
		{"a copy of Forget leaves the next record of the key alone", forgetLate},
		{"whatever the forgotten owner does after it is refused", forgetLateOwner},
	}
	checks := make([]check, 0, len(all))

	for _, c := range all {
		checks = append(checks, check{c.name, func(x *env) {
			if x.can.Forgetter == nil {
				x.Logf("%T has no store.Forgetter", x.raw)

				return
			}

			c.run(&forgotten{x, x.can.Forgetter})
		}})
	}

	return checks
}

// named returns the forgetting of a record.
func (x *forgotten) named(rec *store.Record) store.Forgetting {
	return store.Forgetting{Key: x.key, Token: rec.Token, Fence: rec.Fence}
}

func (x *forgotten) forget(op store.Forgetting) store.Result {
	x.Helper()
	res, err := x.forgetter.Forget(x.ctx, op)

	return x.must("Forget", res, err)
}

// gone checks the result of a forgetting that must take effect, and that the record is gone.
func (x *forgotten) gone(what string, got store.Result) {
	x.Helper()

	if !x.expect(forgetting, what, got, want{true, store.Absent, store.Token{}, 0, ""}) {
		return
	}

	x.expect(forgetting, "the record after "+what, x.read(), want{state: store.Absent})

	if x.can.Inspector != nil {
		x.expect(forgetting, "Lookup after "+what, (&inspected{x.env, x.can.Inspector}).lookup(), want{state: store.Absent})
	}
}

// refused checks the result of a forgetting that must change nothing.
func (x *forgotten) refused(what string, got store.Result, before *store.Record) {
	x.Helper()

	if got.Applied {
		x.brokenf(forgetting, "%s: Applied is true", what)
	}

	if d := everything(&got.Record, before); d != "" {
		x.brokenf(forgetting, "%s returned another record: %s", what, d)
	}

	if d := everything(new(x.read().Record), before); d != "" {
		x.brokenf(forgetting, "%s changed the record: %s", what, d)
	}
}

func forgetSettled(x *forgotten) {
	for _, found := range []condition{released, completed} {
		x.newKey()
		_, before := x.arrange(found, store.AtMostOnce)
		x.gone("a forgetting of "+string(found), x.forget(x.named(&before)))

		// Nothing of the former life affects the next one.
		claim := x.newClaim()
		claim.Fingerprint.Sum[0]++

		got := x.claim(claim)
		x.expect(forgetting, "a claim after a forgetting", got, want{true, store.Running, claim.Token, 1, ""})

		if rec := got.Record; rec.Guarantee != claim.Guarantee || rec.Attempts != 1 || rec.Doubtful || rec.Resolved {
			x.brokenf(forgetting, "the first run after a forgetting has something of the life before: %v, %d attempts, doubtful %t, "+
				"resolved %t", rec.Guarantee, rec.Attempts, rec.Doubtful, rec.Resolved)
		}
	}
}

func forgetCareful(x *forgotten) {
	for _, hold := range []bool{false, true} {
		x.newKey()

		claim := x.newClaim()
		claim.Lease, claim.MaxRun = x.unit, 3*x.unit
		before := x.start(claim).Record
		until := before.OwnerAliveUntil

		if hold {
			before = x.hold(claim, theNote).Record
		} else {
			x.pass(before.LeaseUntil)
		}

		x.approach(until, func() bool {
			got := x.forget(x.named(&before))

			switch dead := !got.Now.Before(until); {
			case x.doubtful(got.Now, until):
			case !dead && (got.Applied || got.Record.State == store.Absent):
				x.brokenf(forgetting, "a %v record was forgotten %v before its owner must be dead", before.State, until.Sub(got.Now))
			case dead:
				x.gone(fmt.Sprintf("a forgetting of a %v record, once the owner must be dead", before.State), got)
			}

			return got.Applied
		})
	}
}

func forgetAlive(x *forgotten) {
	claim := x.shortClaim()
	x.start(claim)

	before := x.renew(claim, long).Record // longer than MaxRun
	x.pass(before.OwnerAliveUntil)
	x.refused("a forgetting of a run whose lease is alive", x.forget(x.named(&before)), &before)
}

func forgetForced(x *forgotten) {
	for _, found := range []condition{alive, ended, held, released, completed} {
		x.newKey()
		_, before := x.arrange(found, store.AtMostOnce)

		op := x.named(&before)
		op.Force = true
		x.gone("a forced forgetting of "+string(found), x.forget(op))
	}
}

func forgetOther(x *forgotten) {
	for _, found := range []condition{alive, ended, held, released, completed} {
		for _, force := range []bool{false, true} {
			x.newKey()
			_, before := x.arrange(found, store.AtMostOnce)

			for _, other := range []store.Forgetting{
				{Key: x.key, Token: newToken(), Fence: before.Fence, Force: force},
				{Key: x.key, Token: before.Token, Fence: before.Fence + 1, Force: force},
				{Key: x.key, Token: before.Token, Force: force},
				{Key: x.key, Force: force},
			} {
				x.refused(fmt.Sprintf("a forgetting of another record than %s", found), x.forget(other), &before)
			}
		}
	}
}

func forgetAbsent(x *forgotten) {
	for _, force := range []bool{false, true} {
		x.gone("a forgetting of an absent record", x.forget(store.Forgetting{Key: x.key, Token: newToken(), Fence: 1, Force: force}))
	}
}

func forgetTwice(x *forgotten) {
	for _, found := range []condition{held, completed} {
		x.newKey()
		_, before := x.arrange(found, store.AtMostOnce)

		op := x.named(&before)
		op.Force = true

		for range 1 + copies {
			x.gone("a forgetting, or the copy of it", x.forget(op))
		}
	}
}

// forgetLate lets a copy of a forgetting arrive in the next life of the key, which has the same fence.
func forgetLate(x *forgotten) {
	for _, force := range []bool{false, true} {
		x.newKey()
		_, before := x.arrange(completed, store.AtMostOnce)

		op := x.named(&before)
		op.Force = force
		x.forget(op)

		_, next := x.arrange(completed, store.AtMostOnce)
		x.refused("the copy of a forgetting, in the next life of the key", x.forget(op), &next)
	}
}

func forgetLateOwner(x *forgotten) {
	claim, before := x.arrange(alive, store.AtMostOnce)
	op := x.named(&before)
	op.Force = true
	x.forget(op)

	nothing := want{state: store.Absent}
	x.expect(fenced, "a renewal after a forgetting", x.renew(claim, long), nothing)
	x.expect(fenced, "a completion after a forgetting", x.complete(claim, theOutcome), nothing)
	x.expect(fenced, "a hold after a forgetting", x.hold(claim, theNote), nothing)

	next := x.newClaim()
	x.start(next)
	x.expect(fenced, "a completion after a forgetting, in the next life of the key", x.complete(claim, theOutcome),
		want{false, store.Running, next.Token, 1, ""})
}

package storetest

import (
	"fmt"

	"github.com/onlyonce-go/onlyonce/store"
)

// contenders is how many operations race for one record.
const contenders = 32

func raceChecks() []check {
	return []check{
		{"of many claims of a new key one wins", raceNew},
		{"of many claims of a released key one wins", raceReleased},
		{"of many takeovers one wins", raceTakeovers},
		{"of a completion and a takeover one wins", raceCompletion},
		{"of a renewal and a takeover one wins", raceRenewal},
		{"a claim and its release leave no run, in whatever order they arrive", raceWithdrawal},
		{"copies of a claim win together and start one run", raceCopies},
		{"of many outcomes of one owner one is recorded", raceOutcomes},
		{"different keys do not disturb each other", raceKeys},
	}
}

// answer is the result of one goroutine.
type answer struct {
	store.Result

	err error
}

// race performs n operations at once and returns their results.
func (x *env) race(n int, op func(i int) (store.Result, error)) []answer {
	x.Helper()

	answers := make([]answer, n)
	together(n, func(i int) { answers[i].Result, answers[i].err = op(i) })

	for i := range answers {
		a := &answers[i]
		if a.err != nil {
			x.Fatalf("an operation among %d at once returned an error: %v", n, a.err)
		}
	}

	return answers
}

// oneWins checks that exactly one of the claims won, and that the others were refused with its record.
func (x *env) oneWins(fence uint64) {
	x.Helper()

	claims := make([]store.Claim, contenders)
	for i := range claims {
		claims[i] = x.newClaim()
		claims[i].Fence = fence
	}

	var (
		winners int
		winner  store.Token
	)

	answers := x.race(contenders, func(i int) (store.Result, error) { return x.store.Claim(x.ctx, claims[i]) })
	for i := range answers {
		a := &answers[i]

		if a.Applied {
			winners++
			winner = claims[i].Token
		}
	}

	if winners != 1 {
		x.brokenf(atomicity, "%d of %d claims at once have won, must be 1", winners, contenders)

		return
	}

	for i := range answers {
		a := &answers[i]

		x.expect(atomicity, "a claim among many at once", a.Result,
			want{claims[i].Token == winner, store.Running, winner, fence + 1, ""})
	}
}

func raceNew(x *env) {
	for range x.rounds / 5 {
		x.newKey()
		x.oneWins(0)
	}
}

func raceReleased(x *env) {
	for range x.rounds / 5 {
		x.newKey()

		claim := x.newClaim()
		x.start(claim)
		x.release(claim)
		x.oneWins(1)
	}
}

// endedRuns makes several keys whose owners' leases have ended.
func (x *env) endedRuns() []store.Claim {
	x.Helper()

	owners := make([]store.Claim, x.rounds)

	for i := range owners {
		x.newKey()

		owners[i] = x.shortClaim()
		x.start(owners[i])
	}

	x.pass(x.read().Record.LeaseUntil)

	return owners
}

func raceTakeovers(x *env) {
	owners := x.endedRuns()
	for i := range owners[:x.rounds/5] {
		owner := owners[i]
		x.key = owner.Key
		x.oneWins(1)
	}
}

func raceCompletion(x *env) {
	owners := x.endedRuns()
	for i := range owners {
		owner := owners[i]
		x.key = owner.Key
		next := x.newClaim()
		next.Fence = 1

		answers := x.race(2, func(i int) (store.Result, error) {
			if i == 0 {
				return x.store.Complete(x.ctx, completion(owner, theOutcome))
			}

			return x.store.Claim(x.ctx, next)
		})
		if answers[0].Applied == answers[1].Applied {
			x.brokenf(atomicity, "a completion and a takeover at once: Applied is %t for both, one must win",
				answers[0].Applied)

			return
		}

		end := want{false, store.Completed, owner.Token, 1, theOutcome}
		if answers[1].Applied {
			end = want{false, store.Running, next.Token, 2, ""}
		}

		x.expect(atomicity, "the record after a completion and a takeover at once", x.read(), end)
	}
}

func raceRenewal(x *env) {
	owners := x.endedRuns()
	for i := range owners {
		owner := owners[i]
		x.key = owner.Key
		next := x.newClaim()
		next.Fence = 1

		answers := x.race(2, func(i int) (store.Result, error) {
			if i == 0 {
				return x.store.Renew(x.ctx, store.Renewal{Key: owner.Key, Token: owner.Token, Lease: long})
			}

			return x.store.Claim(x.ctx, next)
		})
		if answers[0].Applied == answers[1].Applied {
			x.brokenf(revival, "a renewal and a takeover at once: Applied is %t for both, one must win",
				answers[0].Applied)

			return
		}

		end := want{false, store.Running, owner.Token, 2, ""}
		if answers[1].Applied {
			end.token = next.Token
		}

		x.expect(revival, "the record after a renewal and a takeover at once", x.read(), end)
	}
}

func raceWithdrawal(x *env) {
	for round := range x.rounds {
		x.newKey()

		claim := x.newClaim()
		if round%2 == 1 {
			first := x.newClaim()
			x.start(first)
			x.release(first)

			claim.Fence = 1
		}

		x.race(2, func(i int) (store.Result, error) {
			if i == 0 {
				return x.store.Release(x.ctx, store.Release{Claim: claim})
			}

			return x.store.Claim(x.ctx, claim)
		})

		if got := x.read().Record.State; got != store.Released {
			x.brokenf(withdrawal, "a claim and its release at once left the record %v, must be RELEASED", got)

			return
		}
	}
}

func raceCopies(x *env) {
	for range x.rounds / 5 {
		x.newKey()

		claim := x.newClaim()

		answers := x.race(4, func(int) (store.Result, error) { return x.store.Claim(x.ctx, claim) })
		for i := range answers {
			x.expect(resends, "one of several copies of a claim at once", answers[i].Result,
				want{true, store.Running, claim.Token, 1, ""})
		}

		if got := x.read().Record.Attempts; got != 1 {
			x.brokenf(resends, "several copies of a claim at once started %d runs, must be 1", got)
		}
	}
}

func raceOutcomes(x *env) {
	for range x.rounds / 5 {
		x.newKey()

		claim := x.newClaim()
		x.start(claim)

		outcome := func(i int) string { return fmt.Sprintf("outcome %d", i) }
		answers := x.race(4, func(i int) (store.Result, error) {
			return x.store.Complete(x.ctx, completion(claim, outcome(i)))
		})
		recorded := string(x.read().Record.Outcome)

		for i := range answers {
			a := &answers[i]

			x.expect(finality, "one of several outcomes at once", a.Result,
				want{outcome(i) == recorded, store.Completed, claim.Token, 1, recorded})
		}
	}
}

func raceKeys(x *env) {
	owners := make([]store.Claim, contenders)
	for i := range owners {
		x.newKey()
		owners[i] = x.newClaim()
	}

	outcome := func(i int) string { return fmt.Sprintf("outcome of key %d", i) }
	answers := x.race(contenders, func(i int) (store.Result, error) {
		own := owners[i]
		if res, err := x.store.Claim(x.ctx, own); err != nil || !res.Applied {
			return res, err
		}

		if res, err := x.store.Renew(x.ctx, store.Renewal{Key: own.Key, Token: own.Token, Lease: long}); err != nil {
			return res, err
		}

		return x.store.Complete(x.ctx, completion(own, outcome(i)))
	})

	for i := range answers {
		a := &answers[i]

		ended := want{true, store.Completed, owners[i].Token, 1, outcome(i)}
		x.expect(atomicity, "a run among those of other keys", a.Result, ended)

		x.key = owners[i].Key
		ended.applied = false
		x.expect(atomicity, "a record among those of other keys", x.read(), ended)
	}
}

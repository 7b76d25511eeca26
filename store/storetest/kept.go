package storetest

import (
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The retentions of two claims. Other checks use neither.
const (
	oneRetention   = 3 * long
	otherRetention = 2 * long
)

func keptChecks() []check {
	return []check{
		{"whoever settles a record, the retention is that of the owner's claim", keptSettled},
		{"the completion of a run may bring a retention of its own", keptOwn},
		{"a record that is resolved by hand is there until that retention ends, and not at the end", keptResolved},
		{"a tombstone has the retention of the claim that is withdrawn", keptTombstone},
		{"the next run of a released key brings its own retention", keptReleased},
		{"a takeover brings its own retention", keptTakeover},
		{"a takeover is bounded by the retention of the record, too", keptBound},
		{"claims that lose and their withdrawals change no retention", keptLosers},
	}
}

// expires checks how long a settled record is kept.
func (x *env) expires(what string, got store.Result, retention time.Duration) {
	x.Helper()

	if !near(got.Record.ExpiresAt, got.Now.Add(retention)) {
		x.brokenf(kept, "%s at %v: the record expires at %v, must be kept for %v", what, got.Now, got.Record.ExpiresAt, retention)
	}

	x.keeps("the record after "+what, got, retention)
}

// keeps checks the retention of a record.
func (x *env) keeps(what string, got store.Result, retention time.Duration) {
	x.Helper()

	if (got.Record.Retention - retention).Abs() > rounding {
		x.brokenf(kept, "%s: Retention is %v, must be %v", what, got.Record.Retention, retention)
	}
}

// keptFor checks how long a completed record is kept.
func (x *env) keptFor(what string, got store.Result, retention time.Duration) {
	x.Helper()
	x.keeps("the record after "+what, got, retention)

	if got.Record.State != store.Completed || !near(got.Record.ExpiresAt, got.Record.EndedAt.Add(retention)) {
		x.brokenf(kept, "%s: the record is %v, ended at %v and expires at %v, must be kept for %v",
			what, got.Record.State, got.Record.EndedAt, got.Record.ExpiresAt, retention)
	}
}

func keptSettled(x *env) {
	type settles struct {
		name string
		how  func(own store.Claim) store.Result
	}

	all := []settles{
		{"a completion", func(own store.Claim) store.Result { return x.complete(own, theOutcome) }},
		{"a release", x.release},
		{"an ambiguous release", x.releaseAmbiguous},
		{"a completion after a hold", func(own store.Claim) store.Result {
			x.hold(own, theNote)

			return x.complete(own, theOutcome)
		}},
		{"a release after a hold", func(own store.Claim) store.Result {
			x.hold(own, theNote)

			return x.release(own)
		}},
		{"a completion after the lease was won back", func(own store.Claim) store.Result {
			x.pass(x.read().Record.LeaseUntil)
			x.renew(own, long)

			return x.complete(own, theOutcome)
		}},
	}

	if x.can.Inspector != nil {
		for _, state := range []store.State{store.Completed, store.Released} {
			all = append(all,
				settles{"a resolution as " + state.String(), func(store.Claim) store.Result {
					x.pass(x.read().Record.OwnerAliveUntil)

					return (&inspected{x, x.can.Inspector}).resolve(1, state)
				}},
				settles{"a resolution after a hold as " + state.String(), func(own store.Claim) store.Result {
					x.hold(own, theNote)
					x.pass(x.read().Record.OwnerAliveUntil)

					return (&inspected{x, x.can.Inspector}).resolve(1, state)
				}},
			)
		}
	}

	for _, s := range all {
		x.newKey()

		own := x.shortClaim()
		own.Retention = oneRetention
		x.keeps("a first run", x.start(own), oneRetention)

		got := s.how(own)
		x.expires(s.name, got, oneRetention)

		if d := everything(new(x.read().Record), &got.Record); d != "" {
			x.brokenf(kept, "%s returned another record than it left behind: %s", s.name, d)
		}
	}
}

func keptOwn(x *env) {
	for name, before := range map[string]func(own store.Claim){
		"a completion": func(store.Claim) {},
		"a completion after a hold": func(own store.Claim) {
			x.hold(own, theNote)
		},
		"a completion after the lease was won back": func(own store.Claim) {
			x.pass(x.read().Record.LeaseUntil)
			x.renew(own, long)
		},
	} {
		x.newKey()

		own := x.shortClaim()
		own.Retention = oneRetention
		x.start(own)
		before(own)

		op := keeping(own)

		for _, what := range []string{name, "a copy of " + name} {
			res, err := x.store.Complete(x.ctx, op)
			got := x.must("Complete", res, err)

			x.keptFor(what+" with a retention of its own", got, otherRetention)

			if d := everything(new(x.read().Record), &got.Record); d != "" {
				x.brokenf(kept, "%s returned another record than it left behind: %s", what, d)
			}
		}
	}
}

// keeping returns a completion with its own retention.
func keeping(owner store.Claim) store.Completion {
	op := completion(owner, theOutcome)
	op.Retention = otherRetention

	return op
}

func keptResolved(x *env) {
	if x.can.Inspector == nil {
		x.Logf("%T has no store.Inspector", x.raw)

		return
	}

	x.retained(finality, func(claim store.Claim) store.Result {
		x.startShort(claim)

		return (&inspected{x, x.can.Inspector}).resolve(1, store.Completed)
	})
}

func keptTombstone(x *env) {
	claim := x.newClaim()
	claim.Retention = oneRetention
	x.expires("a release that left a tombstone", x.release(claim), oneRetention)
}

func keptReleased(x *env) {
	first := x.newClaim()
	first.Retention = oneRetention
	x.start(first)
	x.release(first)

	second := x.newClaim()
	second.Fence, second.Retention = 1, otherRetention
	x.keeps("the next run of a released key", x.start(second), otherRetention)
	x.expires("its completion", x.complete(second, theOutcome), otherRetention)
}

func keptTakeover(x *env) {
	first := x.shortClaim()
	first.Retention = oneRetention
	x.startShort(first)

	second := x.newClaim()
	second.Fence, second.Retention = 1, otherRetention
	x.keeps("a takeover", x.start(second), otherRetention)
	x.expires("its completion", x.complete(second, theOutcome), otherRetention)
}

// keptBound takes over a run whose own retention is short, with a claim whose retention is long.
func keptBound(x *env) {
	first := x.shortClaim()
	first.Retention = 3 * x.unit
	rec := x.startShort(first).Record
	x.pass(rec.FirstStart.Add(first.Retention))

	second := x.newClaim()
	second.Fence = 1
	x.expect(takeoverAge, "a takeover of a run that started longer ago than the record's retention", x.claim(second),
		want{false, store.Running, first.Token, 1, ""})
}

func keptLosers(x *env) {
	own := x.newClaim()
	own.Retention = oneRetention
	x.start(own)

	loser := x.newClaim()
	loser.Retention = otherRetention
	x.keeps("a run, after a claim that lost", x.claim(loser), oneRetention)
	x.keeps("a run, after a copy of its claim", x.claim(own), oneRetention)

	settled := x.release(own).Record

	loser.Fence = 1
	got := x.release(loser)
	settled.Fence++

	if d := everything(&got.Record, &settled); d != "" {
		x.brokenf(kept, "the withdrawal of a claim that had not landed changed a RELEASED record: %s", d)
	}
}

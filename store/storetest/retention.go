package storetest

import (
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func retentionChecks() []check {
	return []check{
		{"a completed record is there until its retention ends, and not at the end", retentionCompleted},
		{"a released record is there until its retention ends, and not at the end", retentionReleased},
		{"a tombstone is there until its retention ends, and not at the end", retentionTombstone},
		{"repeats do not extend it", retentionRepeats},
		{"a new run starts a new life", retentionNewLife},
		{"a running record outlives its lease by far", retentionRunning},
		{"a record of unknown outcome does not expire", retentionUnknown},
		{"a run of a released key outlives the retention of the release", retentionReclaimed},
	}
}

// retained keeps a record up to the end of its retention. The function end settles it.
func (x *env) retained(r rule, end func(claim store.Claim) store.Result) {
	x.Helper()

	claim := x.shortClaim()
	claim.Retention = 4 * x.unit
	settled := end(claim)
	expires := settled.Record.ExpiresAt

	if !near(expires, settled.Now.Add(claim.Retention)) {
		x.brokenf(contents, "ExpiresAt is %v, must be %v after the decision at %v", expires, claim.Retention, settled.Now)

		return
	}

	x.approach(expires, func() bool {
		next := x.newClaim()
		got := x.claim(next)

		switch over := !got.Now.Before(expires); {
		case x.doubtful(got.Now, expires):
		case over && (!got.Applied || got.Record.Fence != 1):
			x.brokenf(atomicity, "a claim %v after the retention of a %v record ended: Applied is %t with fence %d, "+
				"must win an absent record", got.Now.Sub(expires), settled.Record.State, got.Applied, got.Record.Fence)
		case !over && (got.Applied || got.Record.State != settled.Record.State):
			x.brokenf(r, "a claim %v before the retention of a %v record ended: Applied is %t and the record is %v, "+
				"it must still be there", expires.Sub(got.Now), settled.Record.State, got.Applied, got.Record.State)
		}

		return got.Applied
	})
}

func retentionCompleted(x *env) {
	x.retained(finality, func(claim store.Claim) store.Result {
		x.start(claim)

		return x.complete(claim, theOutcome)
	})
}

func retentionReleased(x *env) {
	x.retained(fenceOrder, func(claim store.Claim) store.Result {
		x.start(claim)

		return x.release(claim)
	})
}

func retentionTombstone(x *env) {
	x.retained(withdrawal, x.release)
}

func retentionRepeats(x *env) {
	claim := x.newClaim()
	x.start(claim)
	first := x.complete(claim, theOutcome).Record
	x.advance(x.unit)

	results := []store.Result{
		x.complete(claim, theOutcome), x.complete(claim, otherOutcome), x.claim(claim), x.claim(x.newClaim()),
		x.release(claim), x.hold(claim, theNote), x.renew(claim, long),
	}
	for i := range results {
		got := &results[i]
		if d := everything(&got.Record, &first); d != "" {
			x.brokenf(finality, "an operation on a COMPLETED record changed it: %s", d)
		}
	}
}

func retentionNewLife(x *env) {
	claim := x.newClaim()
	x.start(claim)
	x.release(claim)

	second := x.newClaim()
	second.Fence, second.Retention = 1, x.unit
	x.start(second)
	x.pass(x.complete(second, theOutcome).Record.ExpiresAt)

	if got := x.read(); got.Record.State != store.Absent {
		x.brokenf(atomicity, "a record whose retention is over is %v, must be ABSENT", got.Record.State)
	}

	third := x.newClaim()
	third.Guarantee = store.AtMostOnce
	got := x.start(third)

	fresh := store.Record{
		State: store.Running, Token: third.Token, Fence: 1, Guarantee: store.AtMostOnce, Fingerprint: third.Fingerprint,
		LeaseUntil: got.Now.Add(long), OwnerAliveUntil: got.Now.Add(2 * long), Attempts: 1,
		FirstStart: got.Now, LastStart: got.Now, Retention: long, Method: third.Method, ReadableKey: third.ReadableKey,
	}
	if d := everything(&got.Record, &fresh); d != "" {
		x.brokenf(contents, "the first run after the retention has something of the life before: %s", d)
	}
}

// far returns how long an unsettled record must live at least.
func (x *env) far() time.Duration {
	if x.bubble {
		return 7 * 24 * time.Hour
	}

	return 10 * x.unit
}

func retentionRunning(x *env) {
	claim := x.shortClaim()
	claim.Guarantee, claim.Retention = store.AtMostOnce, x.unit
	before := x.startShort(claim).Record
	x.advance(x.far())
	x.mustLive(before)
	x.expect(unsettled, "a claim long after the lease of an AT_MOST_ONCE record has ended", x.claim(x.newClaim()),
		want{false, store.Running, claim.Token, 1, ""})
	x.expect(settlement, "the owner's completion long after the lease has ended", x.complete(claim, theOutcome),
		want{true, store.Completed, claim.Token, 1, theOutcome})
}

func retentionUnknown(x *env) {
	claim := x.shortClaim()
	x.start(claim)
	before := x.hold(claim, theNote).Record
	x.advance(x.far())
	x.mustLive(before)
}

func retentionReclaimed(x *env) {
	claim := x.newClaim()
	claim.Retention = 4 * x.unit
	x.start(claim)
	expires := x.release(claim).Record.ExpiresAt

	second := x.newClaim()
	second.Fence = 1

	before := x.claim(second)
	if !before.Applied {
		x.Logf("the release had expired before the next claim arrived; give a longer unit")

		return
	}

	x.pass(expires)
	x.mustLive(before.Record)
}

// mustLive checks that an unsettled record has not changed.
func (x *env) mustLive(before store.Record) {
	x.Helper()

	got := x.read()
	if got.Record.State == store.Absent {
		x.brokenf(unsettled, "a %v record expired", before.State)

		return
	}

	if d := everything(&got.Record, &before); d != "" {
		x.brokenf(unsettled, "a %v record changed while nobody touched it: %s", before.State, d)
	}

	if at := got.Record.ExpiresAt; !at.IsZero() && at.Before(got.Now.Add(x.far())) {
		x.brokenf(unsettled, "a %v record is about to expire, at %v", before.State, at)
	}
}

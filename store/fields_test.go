package store_test

import (
	"math"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// aClaim is a claim whose every bound is wide enough.
func aClaim(fence uint64) store.Claim {
	return store.Claim{
		Token: myToken, Fence: fence, Fingerprint: newScheme, Guarantee: store.ExactlyOnce, Lease: lease, MaxRun: maxRun,
		MaxAttempts: 9, Retention: retention, Method: "/d.E/F", ReadableKey: "l",
	}
}

// operation is an operation of the transition table.
type operation interface {
	Apply(rec store.Record, now time.Time) store.Transition
}

// with is a record with a change.
func with(rec store.Record, change func(r *store.Record)) store.Record {
	change(&rec)

	return rec
}

func TestEveryFieldAfterAnOperation(t *testing.T) {
	t.Parallel()

	owned := func(state string) store.Record { return found(state, myToken) }
	first := store.Record{
		State: store.Running, Token: myToken, Fence: 1, Guarantee: store.ExactlyOnce, Fingerprint: newScheme,
		LeaseUntil: now.Add(lease), OwnerAliveUntil: now.Add(lease + maxRun), Attempts: 1, FirstStart: now, LastStart: now,
		Retention: retention, Method: "/d.E/F", ReadableKey: "l",
	}
	later := with(first, func(r *store.Record) {
		r.Fence, r.Fingerprint, r.FirstStart = theFence+1, theSum, now.Add(-20*time.Minute)
	})
	claim := aClaim(theFence)
	tombstone := store.Record{
		State: store.Released, Token: myToken, Fence: 1, Guarantee: store.ExactlyOnce, Fingerprint: newScheme,
		EndedAt: now, ExpiresAt: now.Add(retention), Retention: retention, Method: "/d.E/F", ReadableKey: "l",
	}

	for _, tc := range []struct {
		name   string
		before store.Record
		op     operation
		want   store.Record
	}{
		{"a first claim", store.Record{}, new(aClaim(0)), first},
		{"a claim after the retention", found("gone", oldToken), new(aClaim(0)), first},
		{"a claim of a released key", found("released", oldToken), &claim, later},
		{"a claim of a key resolved as released", found("resolved-released", oldToken), &claim, later},
		{
			"a claim of a tombstone", with(tombstone, func(r *store.Record) { r.Token = oldToken }), new(aClaim(1)),
			with(first, func(r *store.Record) { r.Fence = 2 }),
		},
		{
			"a takeover", found("ended", oldToken), &claim,
			with(later, func(r *store.Record) { r.Attempts, r.Doubtful = 3, true }),
		},
		{
			"a claim of a released key under a laxer guarantee",
			with(found("released", oldToken), func(r *store.Record) { r.Guarantee = store.AtMostOnce }), &claim,
			with(later, func(r *store.Record) { r.Guarantee = store.AtMostOnce }),
		},
		{
			"a takeover of a longer run",
			with(found("ended", oldToken), func(r *store.Record) { r.OwnerAliveUntil = now.Add(24 * time.Hour) }), &claim,
			with(later, func(r *store.Record) {
				r.Attempts, r.Doubtful, r.OwnerAliveUntil = 3, true, now.Add(24*time.Hour)
			}),
		},
		{
			"the owner's claim after the end of the lease", owned("ended"), new(aClaim(0)),
			with(owned("ended"), func(r *store.Record) {
				r.Fence, r.LeaseUntil, r.OwnerAliveUntil = theFence+1, now.Add(lease), now.Add(lease+maxRun)
			}),
		},
		{
			"the owner's claim after the end of the lease, when another run may last longer",
			with(owned("ended"), func(r *store.Record) { r.OwnerAliveUntil = now.Add(24 * time.Hour) }), new(aClaim(0)),
			with(owned("ended"), func(r *store.Record) {
				r.Fence, r.LeaseUntil, r.OwnerAliveUntil = theFence+1, now.Add(lease), now.Add(24*time.Hour)
			}),
		},
		{"the owner's claim", owned("alive"), new(aClaim(0)), owned("alive")},
		{
			"a renewal", owned("alive"), &store.Renewal{Token: myToken, Lease: lease},
			with(owned("alive"), func(r *store.Record) { r.LeaseUntil = now.Add(lease) }),
		},
		{
			"a renewal that would shorten the lease", owned("alive"), &store.Renewal{Token: myToken},
			owned("alive"),
		},
		{
			"a renewal after the end of the lease", owned("ended"), &store.Renewal{Token: myToken, Lease: lease},
			with(owned("ended"), func(r *store.Record) { r.Fence, r.LeaseUntil = theFence+1, now.Add(lease) }),
		},
		{
			"a completion after a hold", owned("unknown"),
			&store.Completion{Token: myToken, Outcome: []byte("o")},
			with(owned("unknown"), func(r *store.Record) {
				r.State, r.Outcome, r.EndedAt, r.ExpiresAt = store.Completed, []byte("o"), now, now.Add(oldRetention)
			}),
		},
		{
			"a release after a hold", owned("unknown"), &store.Release{Claim: claim},
			with(owned("unknown"), func(r *store.Record) {
				r.State, r.Outcome, r.EndedAt, r.ExpiresAt = store.Released, nil, now, now.Add(oldRetention)
			}),
		},
		{
			"an ambiguous release", owned("alive"), &store.Release{Claim: claim, Ambiguous: true},
			with(owned("alive"), func(r *store.Record) {
				r.State, r.Outcome, r.EndedAt, r.ExpiresAt, r.Doubtful = store.Released, nil, now, now.Add(oldRetention), true
			}),
		},
		{
			"a release after a takeover", with(owned("alive"), func(r *store.Record) { r.Doubtful = true }),
			&store.Release{Claim: claim},
			with(owned("alive"), func(r *store.Record) {
				r.State, r.Outcome, r.EndedAt, r.ExpiresAt, r.Doubtful = store.Released, nil, now, now.Add(oldRetention), true
			}),
		},
		{
			"a claim of a released key that is doubtful",
			with(found("released", oldToken), func(r *store.Record) { r.Doubtful = true }), &claim,
			with(later, func(r *store.Record) { r.Doubtful = true }),
		},
		{
			"a resolution of a doubtful record as not executed",
			with(owned("unknown"), func(r *store.Record) { r.Doubtful = true }),
			&store.Resolution{Token: myToken, Fence: theFence, State: store.Released},
			with(owned("unknown"), func(r *store.Record) {
				r.State, r.Outcome, r.EndedAt, r.ExpiresAt, r.Resolved = store.Released, nil, now, now.Add(oldRetention), true
			}),
		},
		{"a release before its claim", store.Record{}, &store.Release{Claim: claim}, tombstone},
		{
			"a release of a claim that lost", found("unknown", oldToken), &store.Release{Claim: claim},
			with(found("unknown", oldToken), func(r *store.Record) { r.Fence++ }),
		},
		{
			"a hold", owned("ended"), &store.Hold{Token: myToken, Outcome: []byte("n")},
			with(owned("ended"), func(r *store.Record) {
				r.State, r.Outcome, r.EndedAt = store.Unknown, []byte("n"), now
			}),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			if d := diff(tc.want, tc.op.Apply(tc.before, now).Record); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTakeoverHasBounds(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		name          string
		maxAttempts   uint32
		retention     time.Duration
		keptRetention time.Duration
		want          bool
	}{
		{"none", 0, math.MaxInt64, oldRetention, true},
		{"as many attempts as there were", 2, retention, oldRetention, false},
		{"fewer attempts than there were", 1, retention, oldRetention, false},
		{"one attempt left", 3, retention, oldRetention, true},
		{"first start as old as the claim's retention", 0, 20 * time.Minute, oldRetention, true},
		{"first start older than the claim's retention", 0, 20*time.Minute - 1, oldRetention, false},
		{"first start as old as the record's retention", 0, retention, 20 * time.Minute, true},
		{"first start older than the record's retention", 0, retention, 20*time.Minute - 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()

			claim := aClaim(theFence)
			claim.MaxAttempts, claim.Retention = tc.maxAttempts, tc.retention

			// A released key has no bounds, and a held record cannot be taken over.
			for state, want := range map[string]bool{
				"ended": tc.want, "released": true, "absent": true, "alive": false, "unknown": false, "completed": false,
			} {
				rec := found(state, oldToken)
				rec.Retention = tc.keptRetention

				if got := claim.MayStart(&rec, now); got != want {
					t.Errorf("MayStart on %s is %t, must be %t", state, got, want)
				}

				if got := claim.Apply(rec, now).Applied; got != want && state != "absent" {
					t.Errorf("Apply on %s: Applied is %t, must be %t", state, got, want)
				}
			}
		})
	}
}

func TestAStateOfANewerBuildMayNotBeTouched(t *testing.T) {
	t.Parallel()

	rec := found("ended", myToken)
	rec.State = 9

	claim := aClaim(theFence)
	if claim.MayStart(&rec, now) {
		t.Error("a claim may start on a record in an unknown state")
	}

	for name, got := range map[string]store.Transition{
		"claim":    claim.Apply(rec, now),
		"renew":    (&store.Renewal{Token: myToken}).Apply(rec, now),
		"complete": (&store.Completion{Token: myToken}).Apply(rec, now),
		"hold":     (&store.Hold{Token: myToken}).Apply(rec, now),
		"resolve":  (&store.Resolution{Token: myToken, Fence: theFence, State: store.Completed}).Apply(rec, now),
		"release":  (&store.Release{Claim: claim}).Apply(rec, now),
	} {
		if got.Changed || got.Applied {
			t.Errorf("%s: applied=%t changed=%t", name, got.Applied, got.Changed)
		}
	}
}

func TestAnEndlessRunIsNeverOver(t *testing.T) {
	t.Parallel()

	claim := aClaim(0)
	claim.MaxRun = math.MaxInt64

	for name, rec := range map[string]store.Record{"first": {}, "revived": found("ended", myToken)} {
		if got := claim.Apply(rec, now).Record.OwnerAliveUntil; got.Before(now.AddDate(200, 0, 0)) {
			t.Errorf("the owner of a %s run without bound may be dead at %v", name, got)
		}
	}
}

package chaos_test

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

type (
	record     = store.Record
	transition = store.Transition
)

// instead decides about one kind of operation in a way of its own.
func instead[Op any](decide func(op Op, rec *record, now time.Time) transition) func() backend {
	return func() backend {
		return newTableStore(func(op any, rec *record, now time.Time) (transition, bool) {
			typed, ok := op.(Op)
			if !ok {
				return transition{}, false
			}

			return decide(typed, rec, now), true
		})
	}
}

// unless lets the table decide about records, and operations, that it may change first.
func unless(change func(op any, rec *record, now time.Time)) func() backend {
	return func() backend {
		return newTableStore(func(op any, rec *record, now time.Time) (transition, bool) {
			change(op, rec, now)

			return transition{}, false
		})
	}
}

// brokenStores each break one rule of package store. The exhaustive model, internal/model, covers rules whose breach
// needs a rare order of events: the tombstone of a release that comes before its claim, the fence that rises with a
// revived lease, and the fence of a settlement.
func brokenStores() map[string]func() backend {
	return map[string]func() backend{
		"a completion by anybody is accepted": instead(func(op *store.Completion, rec *record, now time.Time) transition {
			op.Token = rec.Token

			return op.Apply(*rec, now)
		}),
		"a completion by anybody replaces another": instead(func(op *store.Completion, rec *record, now time.Time) transition {
			op.Token = rec.Token
			if rec.State == store.Completed {
				rec.State = store.Running
			}

			return op.Apply(*rec, now)
		}),
		"a late completion replaces a resolution": instead(func(op *store.Completion, rec *record, now time.Time) transition {
			if rec.Resolved {
				rec.State, rec.Resolved = store.Running, false
			}

			return op.Apply(*rec, now)
		}),
		"records are forgotten when their lease ends": unless(func(_ any, rec *record, now time.Time) {
			if rec.State == store.Running && !rec.LeaseAlive(now) {
				*rec = store.Record{}
			}
		}),
		"unknown records are forgotten": unless(func(_ any, rec *record, _ time.Time) {
			if rec.State == store.Unknown {
				*rec = store.Record{}
			}
		}),
		"any claim takes over": instead(func(op *store.Claim, rec *record, now time.Time) transition {
			if rec.State == store.Running {
				rec.Guarantee, op.Guarantee, op.Fence = store.AtLeastOnce, store.AtLeastOnce, rec.Fence
				rec.LeaseUntil = now
			}

			return op.Apply(*rec, now)
		}),
		"an ended lease is taken over whatever the guarantee": instead(func(op *store.Claim, rec *record, now time.Time) transition {
			if rec.State == store.Running {
				rec.Guarantee, op.Guarantee, op.Fence = store.AtLeastOnce, store.AtLeastOnce, rec.Fence
			}

			return op.Apply(*rec, now)
		}),
		"a claim wins whatever fence it expects": instead(func(op *store.Claim, rec *record, now time.Time) transition {
			op.Fence = rec.Fence

			return op.Apply(*rec, now)
		}),
		"a claim with a token that was released wins again": instead(func(op *store.Claim, rec *record, now time.Time) transition {
			if rec.State == store.Released && rec.Token == op.Token {
				op.Fence, rec.Token = rec.Fence, store.Token{}
			}

			return op.Apply(*rec, now)
		}),
		"the fence starts again after a release": instead(func(op *store.Release, rec *record, now time.Time) transition {
			done := op.Apply(*rec, now)
			if done.Changed && done.Record.State == store.Released {
				done.Record.Fence = 0
			}

			return done
		}),
		"a release by anybody is accepted": instead(func(op *store.Release, rec *record, now time.Time) transition {
			op.Claim.Token = rec.Token

			return op.Apply(*rec, now)
		}),
		"a hold releases": instead(func(op *store.Hold, rec *record, now time.Time) transition {
			release := store.Release{Claim: store.Claim{Token: op.Token}}

			return release.Apply(*rec, now)
		}),
		"a renewal does not renew": instead(func(op *store.Renewal, rec *record, _ time.Time) transition {
			return transition{Record: *rec, Applied: rec.Token == op.Token && rec.State == store.Running}
		}),
		"leases are shorter than was asked for": unless(func(op any, _ *record, _ time.Time) {
			switch op := op.(type) {
			case *store.Claim:
				op.Lease = op.Lease * 4 / 5
			case *store.Renewal:
				op.Lease = op.Lease * 4 / 5
			}
		}),
		"another request may have the key once it is released": unless(func(op any, rec *record, _ time.Time) {
			if claim, ok := op.(*store.Claim); ok && rec.State == store.Released {
				rec.Fingerprint = claim.Fingerprint
			}
		}),
		"earlier doubts are forgotten": unless(func(_ any, rec *record, _ time.Time) { rec.Doubtful = false }),
	}
}

// earlySettlers are stores that accept an operator's "nothing happened" too early.
func earlySettlers() map[string]func() backend {
	return map[string]func() backend{
		"nothing happened, although the owner may be alive": instead(func(op *store.Resolution, rec *record, now time.Time) transition {
			rec.OwnerAliveUntil = time.Time{}

			return op.Apply(*rec, now)
		}),
		"a settlement is accepted while the lease is alive": instead(func(op *store.Resolution, rec *record, now time.Time) transition {
			rec.LeaseUntil, rec.OwnerAliveUntil = time.Time{}, time.Time{}

			return op.Apply(*rec, now)
		}),
	}
}

// mustBeFound makes runs until the oracle reports a violation.
func mustBeFound(t *testing.T, newStore func() backend, how habits) {
	t.Helper()

	for n := range uint64(defaultRuns) {
		if _, broken := once(t, *firstSeed+n, newStore, how); len(broken) > 0 {
			t.Logf("found by run %d: %s", n+1, broken[0])

			return
		}
	}

	t.Errorf("%d runs have not found it", defaultRuns)
}

func TestBrokenStoresAreFound(t *testing.T) {
	for name, newStore := range brokenStores() {
		t.Run(name, func(t *testing.T) { mustBeFound(t, newStore, habits{}) })
	}

	for name, newStore := range earlySettlers() {
		t.Run(name, func(t *testing.T) { mustBeFound(t, newStore, habits{carelessOperator: true}) })
	}
}

func TestAStoreByTheTableIsWhole(t *testing.T) {
	for n := range uint64(defaultRuns / 4) {
		h, broken := once(t, *firstSeed+n, func() backend { return newTableStore(asTheTable) }, habits{})
		if len(broken) > 0 {
			t.Errorf("seed %d: %s", *firstSeed+n, report(h, broken))
		}
	}
}

func newMemstore() backend { return memstore.New() }

func TestAClientWithAFreshKeyAfterAnUnknownOutcomeIsFound(t *testing.T) {
	mustBeFound(t, newMemstore, habits{freshKeys: true})
}

func TestAHandlerThatLiesIsFound(t *testing.T) {
	mustBeFound(t, newMemstore, habits{lyingHandlers: true})
}

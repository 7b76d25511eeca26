package sqlstoretest_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

const century = 100 * 365 * 24 * time.Hour

// extremes are durations at both ends of their range, and around the limits of databases.
func extremes() []time.Duration {
	return []time.Duration{
		1, time.Millisecond - 1, math.MaxInt32 * time.Millisecond, (math.MaxInt32 + 1) * time.Millisecond, 30 * 24 * time.Hour,
		1 << 30 * time.Second, century, math.MaxInt64,
	}
}

// after is a time so much later, as a store keeps it.
func after(t time.Time, spans ...time.Duration) (early, late time.Time) {
	for _, d := range spans {
		t = t.Add(d)
	}

	return t.Add(-time.Millisecond), t.Add(2 * time.Millisecond)
}

func mustBeAfter(tb testing.TB, what string, got, from time.Time, spans ...time.Duration) {
	tb.Helper()

	if early, late := after(from, spans...); got.Before(early) || got.After(late) {
		tb.Errorf("%s is %v, want %v after %v", what, got, spans, from)
	}
}

func TestF68StoreWithTheLongestTimesAndTheMostTransactionsWorks(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)

		for _, d := range []time.Duration{century, math.MaxInt64} {
			st := k.on(t, db, sqlstore.WithTimeout(d), sqlstore.WithSweep(d, math.MaxInt), sqlstore.WithUnknownRetention(d),
				sqlstore.WithMaxTransactions(math.MaxInt))
			claim := newClaim()

			start(t, st, claim)

			res, err := st.Renew(t.Context(), renewal(claim))
			must(t, res, err)

			if n, err := st.Sweep(t.Context()); n != 0 || err != nil {
				t.Errorf("%v: swept %d, %v", d, n, err)
			}

			if got := st.Capabilities().UnknownRetention; got != d {
				t.Errorf("unsettled records stay for %v, want %v", got, d)
			}

			res, tx, err := st.Begin(t.Context(), newClaim(), d)
			must(t, res, err)

			if _, err := tx.Rollback(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestF68LeasesRunsAndRetentionsAreKeptOverTheirWholeRange(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, _ := k.open(t)

		for _, d := range extremes() {
			claim := newClaim()
			claim.Lease, claim.MaxRun, claim.Retention = d, d, d

			got := start(t, st, claim)
			mustBeAfter(t, "the end of a lease", got.Record.LeaseUntil, got.Now, d)
			mustBeAfter(t, "the end of an owner", got.Record.OwnerAliveUntil, got.Now, d, d)

			if read := lookup(t, st, claim.Key).Record; !read.LeaseUntil.Equal(got.Record.LeaseUntil) ||
				!read.OwnerAliveUntil.Equal(got.Record.OwnerAliveUntil) || read.Retention != got.Record.Retention {
				t.Errorf("%v: it is read as %+v, was %+v", d, read, got.Record)
			}

			res, err := st.Renew(t.Context(), renewal(claim))
			if renewed := must(t, res, err); renewed.Record.LeaseUntil.Before(renewed.Now.Add(d)) {
				t.Errorf("%v: a renewed lease ends at %v", d, renewed.Record.LeaseUntil)
			}

			res, err = st.Complete(t.Context(), completion(claim, "paid"))
			settled := must(t, res, err)
			mustBeAfter(t, "the end of a retention", settled.Record.ExpiresAt, settled.Now, d)

			if read := lookup(t, st, claim.Key).Record; d > time.Hour && !read.ExpiresAt.Equal(settled.Record.ExpiresAt) {
				t.Errorf("%v: it expires at %v, and was said to expire at %v", d, read.ExpiresAt, settled.Record.ExpiresAt)
			}
		}
	})
}

func TestF68SingleTransactionsKeepEveryWaitLeaseAndRetention(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, _ := k.open(t)

		for _, d := range append(extremes(), 0, -1, math.MinInt64) {
			for _, released := range []bool{false, true} {
				claim := newClaim()
				if d > 0 {
					claim.Lease, claim.MaxRun, claim.Retention = d, d, d
				}

				if released {
					before := newClaim()
					before.Key = claim.Key

					res, err := st.Release(t.Context(), release(before))
					claim.Fence = must(t, res, err).Record.Fence
				}

				res, tx, err := st.Begin(t.Context(), claim, d)
				must(t, res, err)

				res, err = tx.Complete(t.Context(), completion(claim, "paid"), false)
				settled := must(t, res, err)
				mustBeAfter(t, fmt.Sprintf("with %v, the end of a retention", d), settled.Record.ExpiresAt, settled.Now, claim.Retention)

				if read := lookup(t, st, claim.Key).Record; d > time.Hour && (read.State != store.Completed ||
					!read.ExpiresAt.Equal(settled.Record.ExpiresAt) || !read.OwnerAliveUntil.Equal(settled.Record.OwnerAliveUntil)) {
					t.Errorf("%v: it is read as %+v, was %+v", d, read, settled.Record)
				}
			}
		}
	})
}

// A wait that the database cannot count is not taken for none.
func TestF68LongestWaitLastsUntilTheOtherTransactionHasEnded(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)

		for _, wait := range []time.Duration{(math.MaxInt32 + 1) * time.Millisecond, century, math.MaxInt64} {
			r := s.begin(t, st)
			waited := make(chan error, 1)

			go func() {
				res, tx, err := st.Begin(t.Context(), claimOn(r.claim.Key), wait)
				if err == nil && (tx != nil || res.Record.State != store.Completed) {
					err = fmt.Errorf("it has found %v", res.Record.State)
				}

				waited <- err
			}()

			select {
			case err := <-waited:
				t.Errorf("%v: it has not waited: %v", wait, err)
			case <-time.After(unit):
			}

			res, err := r.tx.Complete(t.Context(), completion(r.claim, "paid"), false)
			must(t, res, err)

			if err := happens(t, "the wait ends", waited); err != nil {
				t.Errorf("%v: %v", wait, err)
			}
		}
	})
}

package sqlstoretest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The test moves the expiry of a record, with its checksum, around the database's time.
func TestF28BeforeTheEndOfTheRetentionARecordIsReplayedAndAtItTheHandlerRuns(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)
		claim := newClaim()
		start(t, s, claim)
		res, err := s.Complete(t.Context(), completion(claim, "paid"))
		expires := must(t, res, err).Record.ExpiresAt

		before, after, ahead := 0, 0, time.Millisecond

		for round := 0; before < 5 || after < 5; round++ {
			if round == 200 {
				t.Fatalf("in %d rounds, %d claims came before the end and %d after it", round, before, after)
			}

			// The record expires about when the next claim arrives: before or after it, depending on the machine.
			to := lookup(t, s, claim.Key).Now.Add(ahead)
			expires = table.expire(t, claim.Key, expires, to)

			next := claimOn(claim.Key)
			res, err := s.Claim(t.Context(), next)

			switch {
			case err != nil:
				t.Fatal(err)
			case res.Applied == res.Now.Before(expires):
				t.Fatalf("a claim %v before the end of the retention: applied=%t", expires.Sub(res.Now), res.Applied)
			case res.Applied:
				after++
				ahead = 2*ahead + time.Millisecond

				if res.Record.Fence != 1 || res.Record.Attempts != 1 {
					t.Errorf("the new life begins with %+v", res.Record)
				}

				res, err = s.Complete(t.Context(), completion(next, "paid"))
				expires = must(t, res, err).Record.ExpiresAt
			default:
				before++
				ahead /= 2

				if res.Record.State != store.Completed || string(res.Record.Outcome) != "paid" {
					t.Errorf("what is replayed is %+v", res.Record)
				}
			}
		}
	})
}

// expire moves the end of a retention.
func (r rows) expire(tb testing.TB, key store.Key, from, to time.Time) time.Time {
	tb.Helper()

	row := r.get(tb, key)
	sum, isSum := row["checksum"].(int64)
	at, isTime := row["expires_at"].(int64)

	if !isSum || !isTime || at != from.UnixMilli() {
		tb.Fatalf("it expires at %v, not at %d", row["expires_at"], from.UnixMilli())
	}

	r.set(tb, key, map[string]any{"expires_at": to.UnixMilli(), "checksum": sum + 5*(to.UnixMilli()-at)})

	return time.UnixMilli(to.UnixMilli())
}

// brief is a claim whose record expires as soon as it is settled.
func brief() store.Claim {
	claim := newClaim()
	claim.Retention = time.Millisecond

	return claim
}

// population is records of all kinds.
type population struct {
	expired, kept []store.Key
}

// populate makes n records of every kind.
func populate(t *testing.T, s *sqlstore.Store, table rows, n int) (p population) {
	t.Helper()

	for range n {
		all := specimens(t, s)
		for name := range all {
			claim := all[name]
			p.kept = append(p.kept, claim.Key)

			if rec := lookup(t, s, claim.Key).Record; rec.State == store.Released || rec.State == store.Completed {
				gone := brief()
				start(t, s, gone)

				if name == "RELEASED" {
					res, err := s.Release(t.Context(), release(gone))
					must(t, res, err)
				} else {
					res, err := s.Complete(t.Context(), completion(gone, "paid"))
					must(t, res, err)
				}

				p.expired = append(p.expired, gone.Key)
			}
		}

		// Old records with an unknown outcome.
		p.kept = append(p.kept, overdue(t, s).Key)
	}

	// Damage that looks like an expired retention, and the format of a newer build.
	for _, change := range []map[string]any{{"expires_at": 1}, {"state": 3, "expires_at": 1}, {"expires_at": 1, "fence": 1 << 62}} {
		claim := newClaim()
		start(t, s, claim)
		table.set(t, claim.Key, change)
		p.kept = append(p.kept, claim.Key)
	}

	claim := brief()
	start(t, s, claim)
	res, err := s.Complete(t.Context(), completion(claim, "paid"))
	must(t, res, err)
	table.set(t, claim.Key, map[string]any{"format": 2})
	p.kept = append(p.kept, claim.Key)

	last := lookup(t, s, p.kept[0]).Now
	eventually(t, "the retentions end", func() bool { return lookup(t, s, p.kept[0]).Now.Sub(last) > 2*time.Millisecond })

	return p
}

// mustHave checks that exactly the kept records remain.
func (p population) mustHave(t *testing.T, table rows) {
	t.Helper()

	for _, key := range p.expired {
		if table.get(t, key) != nil {
			t.Errorf("an expired record is still there")
		}
	}

	for _, key := range p.kept {
		if table.get(t, key) == nil {
			t.Errorf("a record is gone that has not expired")
		}
	}
}

// sweep calls Sweep, which has 30 s. If that is too short on a slow machine, it calls Sweep again.
func sweep(ctx context.Context, s *sqlstore.Store) (int, error) {
	deleted := 0

	for until := time.Now().Add(patience); ; {
		n, err := s.Sweep(ctx)
		deleted += n

		if !errors.Is(err, context.DeadlineExceeded) || time.Now().After(until) {
			return deleted, err
		}
	}
}

func TestSweepersDeleteWhatHasExpiredAndNothingElse(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t, sqlstore.WithSweep(time.Millisecond, 3))
		table := k.rows(db)
		p := populate(t, s, table, 4)

		var (
			wg sync.WaitGroup
			mu sync.Mutex
			n  int
		)

		// Many at once, while somebody works.
		for range 4 {
			wg.Go(func() {
				for range 2 * len(p.expired) {
					deleted, err := sweep(t.Context(), s)
					if err != nil {
						t.Error(err)
					}

					mu.Lock()
					n += deleted
					mu.Unlock()
				}
			})
		}

		wg.Go(func() {
			for range 20 {
				claim := newClaim()
				res, err := s.Claim(t.Context(), claim)

				if err == nil {
					res, err = s.Complete(t.Context(), completion(claim, "paid"))
				}

				if err != nil || !res.Applied {
					t.Errorf("while it is swept: %+v, %v", res, err)
				}
			}
		})
		wg.Wait()

		if n != len(p.expired) {
			t.Errorf("%d were deleted, %d had expired", n, len(p.expired))
		}

		p.mustHave(t, table)
	})
}

func TestSweepThatDeletesLessThanABatchLeavesNothingThatIsDue(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		const batch = 3

		s, db := k.open(t, sqlstore.WithSweep(time.Hour, batch), sqlstore.WithUnknownRetention(time.Millisecond))
		table := k.rows(db)

		for expired := range batch + 2 {
			for unsettled := range batch + 2 {
				k.due(t, s, expired, unsettled)

				for n := batch; n >= batch; {
					var err error
					if n, err = s.Sweep(t.Context()); err != nil {
						t.Fatal(err)
					}
				}

				if n := table.count(t); n != 0 {
					t.Fatalf("of %d expired and %d unsettled records %d are left", expired, unsettled, n)
				}
			}
		}
	})
}

// due makes records that are due for a sweep.
func (k kind) due(t *testing.T, s *sqlstore.Store, expired, unsettled int) {
	t.Helper()

	var last time.Time

	for range expired {
		claim := brief()
		start(t, s, claim)
		res, err := s.Complete(t.Context(), completion(claim, "paid"))
		last = must(t, res, err).Record.ExpiresAt
	}

	for range unsettled {
		claim := overdue(t, s)
		last = lookup(t, s, claim.Key).Record.OwnerAliveUntil
	}

	// Unsettled records live for a millisecond.
	eventually(t, "all are due", func() bool { return lookup(t, s, newKey()).Now.Sub(last) > 2*time.Millisecond })
}

func TestRecordThatIsLockedIsDeletedByTheSweepAfterIt(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		k.due(t, s, 1, 0)

		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()

		if _, err := tx.ExecContext(t.Context(), "UPDATE "+sqlstore.DefaultTable+" SET revision = revision"); err != nil {
			t.Fatal(err)
		}

		for want := range 2 {
			if n, err := s.Sweep(t.Context()); err != nil || n != want {
				t.Errorf("%d were deleted, %v, want %d", n, err, want)
			}

			_ = tx.Rollback()
		}
	})
}

// A record may become visible long after it was due. A sweep of everything, such as a store's first, finds it.
func TestSweepOfEverythingFindsWhatTheOthersMiss(t *testing.T) {
	t.Parallel()

	const late = 5

	k := kinds[0]
	s, db := k.open(t)

	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}

	fill(t, db, late)

	if n, err := s.Sweep(t.Context()); err != nil || n != 0 {
		t.Errorf("a later sweep has deleted %d, %v", n, err)
	}

	if n, err := k.on(t, db).Sweep(t.Context()); err != nil || n != late {
		t.Errorf("a first sweep has deleted %d, %v, want %d", n, err, late)
	}
}

// PostgreSQL finds expired records by another column, which no checksum covers.
func TestWrongTimeOfSweepingDeletesNothingThatHasNotExpired(t *testing.T) {
	k := kinds[0]
	s, db := k.open(t)
	table := k.rows(db)
	p := populate(t, s, table, 2)

	if _, err := db.ExecContext(t.Context(), "UPDATE "+sqlstore.DefaultTable+" SET sweep_at = 1"); err != nil {
		t.Fatal(err)
	}

	if n, err := s.Sweep(t.Context()); err != nil || n != len(p.expired) {
		t.Errorf("%d were deleted, %v, %d had expired", n, err, len(p.expired))
	}

	p.mustHave(t, table)
}

func TestRunSweepsUntilItsContextEnds(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t, sqlstore.WithSweep(time.Millisecond, 3))
		table := k.rows(db)
		p := populate(t, s, table, 2)

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)

		for range cap(ended) {
			go func() { ended <- s.Run(ctx) }()
		}

		eventually(t, "everything that has expired is deleted", func() bool { return table.count(t) <= len(p.kept) })
		p.mustHave(t, table)
		cancel()

		for range cap(ended) {
			if err := happens(t, "Run ends", ended); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRunReturnsTheErrorThatItCannotGetOver(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t, sqlstore.WithSweep(time.Millisecond, 3))
		ended := make(chan error, 1)

		if err := db.Close(); err != nil {
			t.Fatal(err)
		}

		go func() { ended <- s.Run(t.Context()) }()

		if err := happens(t, "Run ends", ended); err == nil {
			t.Error("it ended without an error")
		}
	})
}

// F94: a run that kept failing once ended after five minutes.
func TestF94RunGoesOnAfterATableWasMissing(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		all := &reports{failed: make(map[store.EventKind]int), worked: make(map[store.EventKind]int)}
		s, db := k.open(t, sqlstore.WithSweep(time.Millisecond, 3), sqlstore.WithObserver(all))

		rename := func(from, to string) {
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
				t.Fatal(err)
			}
		}

		rename(sqlstore.DefaultTable, "elsewhere")

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()

		ended := make(chan error, 1)

		go func() { ended <- s.Run(ctx) }()

		eventually(t, "sweeps fail", func() bool { return all.are(store.EventSweep, true, 5) })
		rename("elsewhere", sqlstore.DefaultTable)
		eventually(t, "sweeps work again", func() bool { return all.are(store.EventSweep, false, 1) })
		cancel()

		if err := happens(t, "Run ends", ended); err != nil {
			t.Error(err)
		}
	})
}

// An expired record that is claimed again must not be swept.
func TestAKeyThatIsClaimedAgainWhileItIsSweptIsKept(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t, sqlstore.WithSweep(time.Millisecond, 100))

		for round := range 8 {
			claims := make([]store.Claim, 0, 5)

			for range cap(claims) {
				claim := brief()
				start(t, s, claim)
				res, err := s.Complete(t.Context(), completion(claim, "paid"))
				at := must(t, res, err).Record.ExpiresAt
				eventually(t, "it expires", func() bool { return !lookup(t, s, claim.Key).Now.Before(at) })

				claims = append(claims, claimOn(claim.Key))
			}

			var wg sync.WaitGroup

			wg.Go(func() {
				if _, err := sweep(t.Context(), s); err != nil {
					t.Error(err)
				}
			})

			for _, claim := range claims {
				wg.Go(func() {
					if res, err := s.Claim(t.Context(), claim); err != nil || !res.Applied {
						t.Errorf("round %d: %+v, %v", round, res, err)
					}
				})
			}

			wg.Wait()

			for _, claim := range claims {
				if rec := lookup(t, s, claim.Key).Record; rec.Token != claim.Token {
					t.Fatal(fmt.Errorf("round %d: the record is %+v", round, rec))
				}
			}
		}
	})
}

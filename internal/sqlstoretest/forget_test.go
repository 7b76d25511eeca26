package sqlstoretest_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

func TestRecordThatCannotBeReadIsForgottenByForceAlone(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)

		for name, change := range map[string]map[string]any{
			"damaged": {"fence": 77}, "newer": {"format": 2}, "of another key": {"seal": 1}, "impossible": {"state": 9},
			"without an owner": {"token": []byte{}},
		} {
			claim := newClaim()
			start(t, s, claim)
			table.set(t, claim.Key, change)

			op := store.Forgetting{Key: claim.Key, Token: claim.Token, Fence: 1}
			if _, err := s.Forget(t.Context(), op); !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) {
				t.Errorf("%s: without force it returned %v", name, err)
			}

			for range 2 {
				res, err := s.Forget(t.Context(), store.Forgetting{Key: claim.Key, Force: true})
				if got := must(t, res, err); got.Record.State != store.Absent || got.Now.IsZero() {
					t.Errorf("%s: it is %+v", name, got)
				}
			}

			if table.get(t, claim.Key) != nil {
				t.Errorf("%s: the row is still there", name)
			}

			start(t, s, claimOn(claim.Key))
		}
	})
}

func TestCapabilitiesNameEverythingThatTheStoreCanDo(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		again, elsewhere := k.on(t, db), k.on(t, db, sqlstore.WithTable("elsewhere"))
		other, _ := k.open(t)

		got := s.Capabilities()
		if got.Inspector == nil || got.Lister == nil || got.Forgetter == nil || got.Transactional == nil || got.Notifier != nil ||
			!got.Bounded || got.Immediate || got.UnknownRetention != 0 {
			t.Errorf("the capabilities are %+v", got)
		}

		for name, c := range map[string]struct {
			s     *sqlstore.Store
			share bool
		}{
			"itself": {s, true}, "the same table": {again, true}, "another table": {elsewhere, false}, "another database": {other, false},
		} {
			if share := c.s.Capabilities().Home == got.Home; share != c.share {
				t.Errorf("%s: the records are shared: %t", name, share)
			}
		}

		if k.dialect != sqlstore.PostgreSQL {
			return
		}

		n, err := s.Notify(listener(""))
		if err != nil {
			t.Fatal(err)
		}

		if all := n.Capabilities(); all.Notifier != store.Notifier(n) || all.Home != got.Home || all.Transactional == nil {
			t.Errorf("the capabilities with notifications are %+v", all)
		}
	})
}

// unsettled makes unsettled records. At the end of their life, some must be gone and some kept.
func unsettled(t *testing.T, s *sqlstore.Store, table rows) (gone, kept []store.Key) {
	t.Helper()

	for range 3 {
		running, unknown := overdue(t, s), overdue(t, s)
		res, err := s.Hold(t.Context(), hold(unknown))
		must(t, res, err)

		gone = append(gone, running.Key, unknown.Key)

		damaged, newer := overdue(t, s), overdue(t, s)
		table.set(t, damaged.Key, map[string]any{"fence": 77})
		table.set(t, newer.Key, map[string]any{"format": 2})

		leased, alive := newClaim(), newClaim()
		start(t, s, leased)

		alive.Lease = time.Millisecond // its owner may be alive for an hour
		start(t, s, alive)

		settled := newClaim()
		start(t, s, settled)
		res, err = s.Complete(t.Context(), completion(settled, "paid"))
		must(t, res, err)

		kept = append(kept, damaged.Key, newer.Key, leased.Key, alive.Key, settled.Key)
	}

	return gone, kept
}

func TestF72UnsettledRecordsStayForTheUnknownRetentionOfTheStore(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		table := k.rows(db)
		forever, long := k.on(t, db), k.on(t, db, sqlstore.WithUnknownRetention(time.Hour))
		brief := k.on(t, db, sqlstore.WithUnknownRetention(time.Millisecond), sqlstore.WithSweep(time.Millisecond, 2))
		gone, kept := unsettled(t, forever, table)

		for name, s := range map[string]*sqlstore.Store{"for ever": forever, "an hour": long} {
			if n, err := s.Sweep(t.Context()); n != 0 || err != nil {
				t.Errorf("%s: %d were deleted, %v", name, n, err)
			}
		}

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)

		go func() { ended <- brief.Run(ctx) }()

		eventually(t, "those whose life is over are deleted", func() bool { return table.count(t) <= len(kept) })
		cancel()

		if err := happens(t, "Run ends", ended); err != nil {
			t.Error(err)
		}

		for _, key := range gone {
			if table.get(t, key) != nil {
				t.Error("one whose life is over is still there")
			}
		}

		for _, key := range kept {
			if table.get(t, key) == nil {
				t.Error("one is gone that must stay")
			}
		}

		// The key is free again.
		start(t, brief, claimOn(gone[0]))
	})
}

// A new write begins a new life of the record, even if its owner's time is long over.
func TestF72LifeOfAnUnsettledRecordBeginsWhenItIsWritten(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		table := k.rows(db)
		s := k.on(t, db, sqlstore.WithUnknownRetention(time.Hour))

		held, renewed := overdue(t, s), overdue(t, s)
		res, err := s.Hold(t.Context(), hold(held))
		must(t, res, err)
		res, err = s.Renew(t.Context(), renewal(renewed))
		must(t, res, err)

		// Make the owners look dead for two hours.
		for _, claim := range []store.Claim{held, renewed} {
			row := table.get(t, claim.Key)
			sum, isSum := row["checksum"].(int64)
			until, isTime := row["owner_until"].(int64)

			if !isSum || !isTime {
				t.Fatalf("the row is %v", maps.Clone(row))
			}

			ago := 2 * time.Hour.Milliseconds()
			table.set(t, claim.Key, map[string]any{"owner_until": until - ago, "checksum": sum - 11*ago})
		}

		if n, err := s.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("%d were deleted, %v", n, err)
		}
	})
}

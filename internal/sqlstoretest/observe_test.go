package sqlstoretest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// witness is an observer that keeps its events.
type witness struct {
	mu   sync.Mutex
	seen []store.Event
}

func (w *witness) ObserveStore(_ context.Context, event store.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.seen = append(w.seen, event)
}

// forget discards the events so far.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.seen = nil
}

// of returns the events of a kind.
func (w *witness) of(kind store.EventKind) []store.Event {
	w.mu.Lock()
	defer w.mu.Unlock()

	return slices.DeleteFunc(slices.Clone(w.seen), func(e store.Event) bool { return e.Kind != kind })
}

// mustSee checks that there was one event of a kind.
func (w *witness) mustSee(t *testing.T, kind store.EventKind, operation store.Operation, status store.Status) store.Event {
	t.Helper()

	seen := w.of(kind)
	if len(seen) != 1 || seen[0].Operation != operation || seen[0].Status != status {
		t.Fatalf("seen are %+v, want one %v: %s %s", seen, kind, operation, status)
	}

	return seen[0]
}

func TestObserverSeesEachOperationOnceAndHowItHasEnded(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		w := new(witness)
		s, _ := k.open(t, sqlstore.WithObserver(w))

		for _, op := range operations() {
			claim := op.prepare(t, s)

			w.forget()

			res, err := op.run(t.Context(), s, claim)
			must(t, res, err)

			seen := w.of(store.EventOperation)
			if len(seen) != 1 || seen[0].Status != store.StatusApplied || seen[0].Duration <= 0 || seen[0].Err != nil {
				t.Errorf("%s: seen are %+v", op.name, seen)
			}
		}

		claim := newClaim()
		start(t, s, claim)
		w.forget()

		if _, err := s.Claim(t.Context(), claimOn(claim.Key)); err != nil {
			t.Fatal(err)
		}

		w.mustSee(t, store.EventOperation, store.OperationClaim, store.StatusDeclined)
		w.forget()
		lookup(t, s, claim.Key)
		w.mustSee(t, store.EventOperation, store.OperationLookup, store.StatusApplied)
		w.forget()

		for _, err := range s.ListUnknown(t.Context()) {
			if err != nil {
				t.Error(err)
			}
		}

		if seen := w.of(store.EventOperation); len(seen) == 0 || seen[0].Operation != store.OperationList {
			t.Errorf("a list: seen are %+v", seen)
		}
	})
}

func TestObserverSeesWhatIsSentAgainBecauseTheConnectionWasLost(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		w := new(witness)
		proxy := sqltest.NewProxy(t, k.fresh(t))
		s := k.on(t, pool(proxy.DB(t, k.params...)), sqlstore.WithObserver(w))
		claim := newClaim()
		start(t, s, claim)
		w.forget()

		lost := proxy.Next(sqltest.LostReply, nth(1))
		res, err := s.Complete(t.Context(), completion(claim, "paid"))
		must(t, res, err)
		lost.Wait()

		if e := w.mustSee(t, store.EventResend, store.OperationComplete, ""); e.Err == nil {
			t.Error("there is no reason")
		}

		w.mustSee(t, store.EventOperation, store.OperationComplete, store.StatusApplied)
	})
}

func TestObserverSeesThatAServerRefusesToWriteAlthoughAnotherConnectionWrites(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		w := new(witness)
		db := k.base(t)
		db.SetMaxOpenConns(1)
		s := k.on(t, db, sqlstore.WithObserver(w))

		statement := "SET SESSION TRANSACTION READ ONLY"
		if k.dialect == sqlstore.PostgreSQL {
			statement = "SET default_transaction_read_only = on"
		}

		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}

		start(t, s, newClaim())

		if e := w.mustSee(t, store.EventRefused, store.OperationClaim, store.StatusFailed); e.Err == nil {
			t.Error("there is no reason")
		}

		w.mustSee(t, store.EventResend, store.OperationClaim, "")
		w.mustSee(t, store.EventOperation, store.OperationClaim, store.StatusApplied)
	})
}

func TestObserverSeesASingleTransactionAndWhoWaitsForRoomForOne(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		w := new(witness)
		s, _ := k.open(t, sqlstore.WithObserver(w), sqlstore.WithMaxTransactions(1))
		claim := newClaim()

		_, first, err := s.Begin(t.Context(), claim, time.Second)
		if err != nil {
			t.Fatal(err)
		}

		w.mustSee(t, store.EventOperation, store.OperationBegin, store.StatusApplied)
		w.forget()

		// On a slow machine, the time may be over before the call waits for room.
		for wait := unit; len(w.of(store.EventWait)) == 0 && wait < patience; wait *= 2 {
			w.forget()

			if err := beginsWithin(t, s, wait); !errors.Is(err, store.ErrFull) && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("the second transaction: %v", err)
			}
		}

		w.mustSee(t, store.EventWait, store.OperationBegin, "")
		w.mustSee(t, store.EventOperation, store.OperationBegin, store.StatusFull)
		w.forget()

		res, err := first.Complete(t.Context(), completion(claim, "paid"), false)
		must(t, res, err)
		w.mustSee(t, store.EventOperation, store.OperationCommit, store.StatusApplied)
	})
}

// beginsWithin is the error of a single transaction that has so much time to begin.
func beginsWithin(t *testing.T, s *sqlstore.Store, wait time.Duration) error {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()

	_, tx, err := s.Begin(ctx, newClaim(), wait)
	if tx != nil {
		_, _ = tx.Rollback()
	}

	return err
}

func TestObserverSeesHowManyRecordsASweepDeletes(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		w := new(witness)
		s, db := k.open(t, sqlstore.WithObserver(w))

		for range 3 {
			claim := newClaim()
			claim.Retention = time.Millisecond
			start(t, s, claim)

			res, err := s.Release(t.Context(), release(claim))
			must(t, res, err)
		}

		deleted := 0

		eventually(t, "all records are deleted", func() bool {
			if _, err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}

			var left int
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+sqlstore.DefaultTable).Scan(&left); err != nil {
				t.Fatal(err)
			}

			return left == 0
		})

		for _, e := range w.of(store.EventSweep) {
			deleted += e.Count

			if e.Operation != store.OperationSweep || e.Status != store.StatusApplied || e.Duration <= 0 {
				t.Errorf("seen is %+v", e)
			}
		}

		if deleted != 3 {
			t.Errorf("%d records are deleted, want 3", deleted)
		}

		w.forget()

		gone, cancel := context.WithCancel(t.Context())
		cancel()

		if _, err := s.Sweep(gone); err == nil {
			t.Error("a sweep without time succeeds")
		}

		w.mustSee(t, store.EventSweep, store.OperationSweep, store.StatusCanceled)
	})
}

func TestObserverSeesThatAFullDatabaseRefusesAClaim(t *testing.T) {
	t.Parallel()

	w := new(witness)
	k := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.dialect == sqlstore.SQLite })]
	s, db := k.open(t, sqlstore.WithObserver(w))

	db.SetMaxOpenConns(1) // the bound is the connection's

	if _, err := db.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil { // which is as many as there are
		t.Fatal(err)
	}

	var err error
	for err == nil {
		w.forget()

		claim := newClaim()
		claim.ReadableKey = strings.Repeat("k", 255)
		_, err = s.Claim(t.Context(), claim)
	}

	if !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}

	w.mustSee(t, store.EventRefused, store.OperationClaim, store.StatusFull)
	w.mustSee(t, store.EventOperation, store.OperationClaim, store.StatusFull)
}

func TestEventsHaveNamesOfSmallSetsAndNoKeys(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		w := new(witness)
		s, _ := k.open(t, sqlstore.WithObserver(w))
		gone, cancel := context.WithCancel(t.Context())
		cancel()

		all := operations()
		keys := make([]string, 0, 6*len(all))

		for _, op := range all {
			for _, ctx := range []context.Context{t.Context(), gone} {
				claim := op.prepare(t, s)
				keys = append(keys, claim.Key.String(), claim.ReadableKey, claim.Method)
				_, _ = op.run(ctx, s, claim)
			}
		}

		for _, err := range s.ListUnknown(gone) {
			if err == nil {
				t.Error("a list without time has a record")
			}
		}

		_, _ = s.Sweep(t.Context())

		w.mu.Lock()
		defer w.mu.Unlock()

		for _, e := range w.seen {
			if !slices.Contains(names(), string(e.Operation)) || !slices.Contains(statuses(), string(e.Status)) {
				t.Errorf("the names of %+v are not among those of package store", e)
			}

			for _, key := range keys {
				if key != "" && e.Err != nil && strings.Contains(e.Err.Error(), key) {
					t.Errorf("%v has the key %q", e.Err, key)
				}
			}
		}
	})
}

// names are the names of all operations of package store, and none.
func names() []string {
	return strings.Split(",claim,renew,complete,release,hold,lookup,resolve,forget,list,begin,commit,sweep,listen", ",")
}

// statuses are all statuses of package store, and none.
func statuses() []string {
	return strings.Split(",applied,declined,full,busy,unreadable,timeout,canceled,failed", ",")
}

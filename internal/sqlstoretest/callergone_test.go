package sqlstoretest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// leavingStore is a store whose callers leave when they ask it to begin.
type leavingStore struct {
	*sqlstore.Store

	leave context.CancelFunc
}

func (s leavingStore) Capabilities() store.Capabilities {
	all := s.Store.Capabilities()
	all.Transactional = s

	return all
}

func (s leavingStore) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	s.leave()

	return s.Store.Begin(ctx, op, wait)
}

func TestCallerThatLeavesDoesNotWaitForRoom(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		patient := onlyonce.WithPolicy(onlyonce.Policy{MaxWait: time.Hour})

		st, db := k.open(t, sqlstore.WithMaxTransactions(1))
		s := k.orders(t, db)
		e := engine(t, st, onlyonce.SingleTransaction, patient)

		handler, inside, letGo := s.held()
		first := inBackground(t.Context(), e, handler)

		happens(t, "the first has begun", inside)

		gone := make(chan error)

		go func() {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()

			leaving := engine(t, leavingStore{st, leave}, onlyonce.SingleTransaction, patient)
			gone <- call(ctx, leaving, "two", s.sell("two")).err
		}()

		if err := happens(t, "the call returns", gone); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}

		letGo()
		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
		call(t.Context(), e, "two", s.sell("two")).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

// A statement that is broken off costs the connection, and callers may leave in crowds.
func TestCallerThatLeavesWhileTheDatabaseWaitsCostsNoConnection(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		s := k.orders(t, pool(base.DB(t, k.params...)))
		here := engine(t, k.on(t, s.db), onlyonce.SingleTransaction)

		db := base.DB(t, k.params...)
		db.SetMaxOpenConns(1)

		st := k.on(t, db)

		connection := func() (id int64) {
			query := map[sqlstore.Dialect]string{
				sqlstore.PostgreSQL: "SELECT pg_backend_pid()", sqlstore.MySQL: "SELECT connection_id()",
			}[k.dialect]
			if err := db.QueryRowContext(t.Context(), query).Scan(&id); err != nil {
				t.Error(err)
			}

			return id
		}
		before := connection()

		handler, inside, letGo := s.held()
		first := inBackground(t.Context(), here, handler)

		happens(t, "the first has begun", inside)

		ctx, leave := context.WithCancel(t.Context())
		defer leave()

		second := inBackground(ctx, engine(t, st, onlyonce.SingleTransaction), s.sell("one"))

		eventually(t, "the second has the connection", func() bool { return db.Stats().InUse == 1 })
		leave()
		letGo()
		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")

		// The second caller may have left before its claim was sent.
		if got := <-second; !errors.Is(got.err, context.Canceled) {
			got.mustBe(t, onlyonce.StatusReplayed, "#1")
		}

		if after := connection(); after != before {
			t.Errorf("connection %d is gone, there is %d", before, after)
		}
	})
}

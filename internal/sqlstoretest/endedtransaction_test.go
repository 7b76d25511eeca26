package sqlstoretest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"

	"modernc.org/sqlite"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// interruptible ends the context of the write that calls SQLite's function interrupt.
var interruptible atomic.Pointer[context.CancelFunc]

// defineInterrupt gives all SQLite connections the function interrupt(x), which returns x and interrupts the running
// write. A timeout could end before the write begins. The driver does not guard its functions, so TestMain defines it
// before any connection is opened.
func defineInterrupt() {
	sqlite.MustRegisterScalarFunction("interrupt", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		(*interruptible.Load())()

		return args[0], nil
	})
}

// An error may end the whole transaction. After it, the database would commit each statement separately.
func TestHandlerThatGoesOnAfterItsTransactionHasEndedWritesNothing(t *testing.T) {
	t.Parallel()

	k := kinds[2]

	for name, end := range map[string]func(ctx context.Context, tx sqlstore.DBTX) error{
		"a conflict that rolls back": func(ctx context.Context, tx sqlstore.DBTX) error {
			_, err := tx.ExecContext(ctx, "INSERT OR ROLLBACK INTO stock VALUES (1, 0)")

			return err
		},
		"an interrupted write": func(ctx context.Context, tx sqlstore.DBTX) error {
			ctx, interrupt := context.WithCancel(ctx)
			defer interrupt()

			interruptible.Store(&interrupt)

			_, err := tx.ExecContext(ctx, "INSERT INTO stock "+
				"WITH RECURSIVE c(x) AS (SELECT interrupt(3) UNION ALL SELECT x + 1 FROM c WHERE x < 1000000000) SELECT x, 0 FROM c")

			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s, e := k.opened(t, onlyonce.SingleTransaction)
			stock(t, s.db)

			got := call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
				if end(ctx, sqlstore.Tx(ctx)) == nil {
					t.Error("no error")
				}

				_, _ = s.sell("one")(ctx)

				return []byte("sold"), nil
			})
			// A conflict counts as the handler's own error, and an interruption does not.
			if refused := got.Status == onlyonce.StatusUnknown; got.err == nil || refused == errors.Is(got.err, onlyonce.ReasonStoreUnavailable) {
				t.Errorf("got %s %q, %v", got.Status, got.Body, got.err)
			}

			s.mustHave(t, 1, 0)

			call(t.Context(), e, "one", s.sell("one")).mustBe(t, onlyonce.StatusExecuted, "#2")
			s.mustHave(t, 2, 1)
		})
	}
}

// The completion must not be committed without the earlier writes.
func TestJoinedTransactionThatHasEndedIsNotCompleted(t *testing.T) {
	t.Parallel()

	k := kinds[2]
	s, e := k.opened(t, onlyonce.JoinedTransaction)
	stock(t, s.db)

	got := call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
		return sqlstore.InTx(ctx, s.db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
			_, err := tx.ExecContext(ctx, s.insert(), "one", s.runs.Add(1))
			_, _ = tx.ExecContext(ctx, "INSERT OR ROLLBACK INTO stock VALUES (1, 0)")

			return []byte("sold"), err
		})
	})
	if got.err == nil || got.Status != onlyonce.StatusUnknown {
		t.Errorf("got %s %q, %v", got.Status, got.Body, got.err)
	}

	call(t.Context(), e, "one", s.join("one")).mustBe(t, onlyonce.StatusExecuted, "#2")
	s.mustHave(t, 2, 1)
}

// From 11.6, MariaDB refuses to change a row in REPEATABLE READ if another transaction has changed it since the first read.
func TestF47SnapshotConflictOfMariaDBIsRunAgain(t *testing.T) {
	t.Parallel()

	k := kinds[1]
	base := k.fresh(t)
	db := pool(base.DB(t, "innodb_snapshot_isolation=1"))
	s, e := k.orders(t, db), engine(t, k.on(t, db), onlyonce.SingleTransaction)

	stock(t, db)

	call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
		tx := sqlstore.Tx(ctx)

		var n int
		if err := tx.QueryRowContext(ctx, "SELECT n FROM stock WHERE id = 1").Scan(&n); err != nil {
			return nil, err
		}

		if s.runs.Load() == 0 {
			if _, err := db.ExecContext(ctx, "UPDATE stock SET n = 1 WHERE id = 1"); err != nil {
				return nil, err
			}
		}

		_, failed := tx.ExecContext(ctx, "UPDATE stock SET n = n + 1 WHERE id = 1")
		answer, err := s.sell("one")(ctx) // ignores the error, which has ended the transaction

		if (failed != nil) != (s.runs.Load() == 1) || (failed == nil) != (err == nil) {
			t.Errorf("run %d: %v, and then %v", s.runs.Load(), failed, err)
		}

		return answer, nil
	}).mustBe(t, onlyonce.StatusExecuted, "#2")
	s.mustHave(t, 2, 1)
}

func TestSingleTransactionCommitsWhereAnObserverPanics(t *testing.T) {
	t.Parallel()

	k := kinds[2]
	st, db := k.open(t)
	s := k.orders(t, db)
	e := engine(t, st, onlyonce.SingleTransaction, onlyonce.WithObserver(panicking{}))
	request := onlyonce.Call{Method: "/shop.v1.Orders/Create", Key: "one", Fingerprint: store.Fingerprint{Scheme: 200}}

	if _, err := engine(t, st, onlyonce.JoinedTransaction).Do(t.Context(), request, s.sellFor("one", nil)); err == nil {
		t.Fatal("no error")
	}

	call(t.Context(), e, "one", s.sell("one")).mustBe(t, onlyonce.StatusExecuted, "#2")
	call(t.Context(), e, "two", s.sell("two")).mustBe(t, onlyonce.StatusExecuted, "#3")
}

// panicking is an observer that cannot bear another scheme.
type panicking struct{}

func (panicking) Observe(_ context.Context, event onlyonce.Event) {
	if event.Kind == onlyonce.EventSchemeDiffers {
		panic(event.Kind)
	}
}

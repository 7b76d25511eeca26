package sqlstoretest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

// A call takes no more round trips than the bare transaction of its handler.
func TestPipelinedTransactionTakesNoMoreRoundTripsThanABareOne(t *testing.T) {
	each(t, []kind{pipelined()}, func(t *testing.T, k kind) {
		t.Helper()

		st, proxy := k.behind(t)
		s := k.orders(t, pool(proxy.DB(t, k.params...)))
		e := engine(t, st, onlyonce.SingleTransaction)

		bare := func() {
			tx, err := s.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}

			if _, err := tx.ExecContext(t.Context(), s.insert(), "bare", 0); err != nil {
				t.Fatal(err)
			}

			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		trips := func(run func()) int {
			proxy.Reset()
			run()

			return proxy.RoundTrips()
		}

		// Statements are prepared once.
		bare()

		for name, ends := range map[string]error{"first": nil, "undone": onlyonce.Final(errNo)} {
			for range 2 {
				_ = call(t.Context(), e, name, s.sellFor(name, ends))
			}
		}

		own := trips(bare)

		for name, ends := range map[string]error{"run": nil, "definite": onlyonce.Final(errNo), "ambiguous": errNo} {
			if n := trips(func() { _ = call(t.Context(), e, name, s.sellFor(name, ends)) }); n != own {
				t.Errorf("%s: %d round trips, a bare transaction takes %d: %v", name, n, own, proxy.Statements())
			}
		}

		if n := trips(func() { _ = call(t.Context(), e, "run", s.sell("run")) }); n != 2 {
			t.Errorf("a replay takes %d round trips, must be 2: %v", n, proxy.Statements())
		}
	})
}

func TestPipelineThatCannotWorkIsRefused(t *testing.T) {
	k := pipelined()
	db := k.base(t)
	k.on(t, db)

	broken := errors.New("it is broken")
	failing := func(err error) sqlstore.Pipeline {
		return func(context.Context, any, []sqlstore.Statement) error { return err }
	}

	for name, tt := range map[string]struct {
		dialect  sqlstore.Dialect
		pipeline sqlstore.Pipeline
		level    sql.IsolationLevel
		want     string
	}{
		"another database":   {sqlstore.MySQL, pgxpipeline.Send, 0, "WithPipeline is for PostgreSQL"},
		"another driver":     {sqlstore.PostgreSQL, failing(driver.ErrSkip), 0, "*stdlib.Conn"},
		"a silent pipeline":  {sqlstore.PostgreSQL, failing(nil), 0, "does not read the answers"},
		"a broken pipeline":  {sqlstore.PostgreSQL, failing(broken), 0, broken.Error()},
		"an unknown level":   {sqlstore.PostgreSQL, pgxpipeline.Send, sql.LevelLinearizable, "Linearizable"},
		"all is as expected": {sqlstore.PostgreSQL, pgxpipeline.Send, sql.LevelSerializable, ""},
	} {
		_, err := newStore(db, tt.dialect, sqlstore.WithPipeline(tt.pipeline), sqlstore.WithIsolation(tt.level))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New returned %v, want %q in it", name, err, tt.want)
		}
	}

	if err := pgxpipeline.Send(t.Context(), 7, nil); !errors.Is(err, driver.ErrSkip) {
		t.Errorf("the connection of another driver: %v", err)
	}
}

// The store writes BEGIN itself, with any isolation level but the default.
func TestPipelinedTransactionHasItsIsolationLevel(t *testing.T) {
	k := pipelined()
	db := k.base(t)

	for level, want := range map[sql.IsolationLevel]string{
		sql.LevelDefault: "read committed", sql.LevelReadUncommitted: "read uncommitted", sql.LevelReadCommitted: "read committed",
		sql.LevelRepeatableRead: "repeatable read", sql.LevelSerializable: "serializable",
	} {
		st := k.on(t, db, sqlstore.WithIsolation(level))
		e, leased := engine(t, st, onlyonce.SingleTransaction), engine(t, st, onlyonce.JoinedTransaction)

		// A key that was released before is claimed by other statements.
		for _, released := range []bool{false, true} {
			key := fmt.Sprintf("%d-%t", level, released)

			if released {
				_ = call(t.Context(), leased, key, refusing)
			}

			got := call(t.Context(), e, key, func(ctx context.Context) (answer []byte, err error) {
				err = sqlstore.Tx(ctx).QueryRowContext(ctx, "SHOW transaction_isolation").Scan(&answer)

				return answer, err
			})
			if got.err != nil || string(got.Body) != want {
				t.Errorf("%v, released: %t: the level is %q, %v", level, released, got.Body, got.err)
			}
		}
	}
}

// The bound of the claim's lock waits does not apply to the handler.
func TestHandlerHasTheLockTimeoutOfItsSession(t *testing.T) {
	for set, want := range map[string]string{"lock_timeout=0": "0", "lock_timeout=1234": "1234ms"} {
		t.Run(want, func(t *testing.T) {
			both := bothPostgreSQL()
			for i := range both {
				both[i].params = []string{set}
			}

			each(t, both, func(t *testing.T, k kind) {
				t.Helper()

				st, _ := k.open(t)
				e, leased := engine(t, st, onlyonce.SingleTransaction), engine(t, st, onlyonce.JoinedTransaction)
				_ = call(t.Context(), leased, "released", refusing)

				for _, key := range []string{"new", "released"} {
					got := call(t.Context(), e, key, func(ctx context.Context) (answer []byte, err error) {
						err = sqlstore.Tx(ctx).QueryRowContext(ctx, "SHOW lock_timeout").Scan(&answer)

						return answer, err
					})
					if got.err != nil || string(got.Body) != want {
						t.Errorf("%s: lock_timeout is %q, %v", key, got.Body, got.err)
					}
				}
			})
		})
	}
}

// refusing is a handler after which the key is released.
func refusing(context.Context) ([]byte, error) { return nil, onlyonce.NotExecuted(errNo) }

// The pool is full of connections whose server has been killed.
func TestPipelinedTransactionReplacesDeadConnections(t *testing.T) {
	k := pipelined()
	proxy := sqltest.NewProxy(t, k.fresh(t))
	db := pool(proxy.DB(t))
	st := k.on(t, db)

	conns := make([]*sql.Conn, 0, connections)

	for range connections {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		conns = append(conns, conn)
	}

	for _, conn := range conns {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}

	proxy.Cut()

	_, tx, err := st.Begin(t.Context(), newClaim(), patience)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := tx.Rollback(); err != nil {
		t.Error(err)
	}
}

// An error of a statement before the commit differs from an error of the commit: it proves that nothing was committed.
func TestPipelinedCompletionThatTheDatabaseRefusesIsRolledBack(t *testing.T) {
	k := pipelined()
	st, db := k.open(t)
	s := k.orders(t, db)

	claim := newClaim()
	claim.Guarantee = store.ExactlyOnce

	res, tx, err := st.Begin(t.Context(), claim, patience)
	if err != nil || !res.Applied {
		t.Fatalf("applied=%t, %v", res.Applied, err)
	}

	ctx := tx.Context(t.Context())
	if _, err := sqlstore.Tx(ctx).ExecContext(ctx, s.insert(), "one", 1); err != nil {
		t.Fatal(err)
	}

	if _, err := sqlstore.Tx(ctx).ExecContext(ctx, "nonsense"); err == nil {
		t.Fatal("nonsense is executed")
	}

	if _, err := tx.Complete(t.Context(), completion(claim, "paid"), false); !errors.Is(err, store.ErrRolledBack) {
		t.Errorf("Complete after an error: %v", err)
	}

	if rows := s.rows(t); rows != 0 {
		t.Errorf("%d rows", rows)
	}

	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are kept", n)
	}
}

package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

var errNo = errors.New("no")

func TestSingleTransactionCommitsRowsAndRecordTogether(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.SingleTransaction)

		for name, tt := range map[string]struct {
			ends   error
			status onlyonce.Status
			rows   int64
			again  onlyonce.Status
		}{
			"success":      {nil, onlyonce.StatusExecuted, 1, onlyonce.StatusReplayed},
			"definite":     {onlyonce.Final(errNo), onlyonce.StatusExecuted, 0, onlyonce.StatusReplayed},
			"keeps":        {onlyonce.KeepWrites(onlyonce.Final(errNo)), onlyonce.StatusExecuted, 1, onlyonce.StatusReplayed},
			"ambiguous":    {errNo, onlyonce.StatusUnknown, 0, onlyonce.StatusUnknown},
			"not-executed": {onlyonce.NotExecuted(errNo), onlyonce.StatusReleased, 0, onlyonce.StatusReleased},
		} {
			before := s.rows(t)

			for _, status := range []onlyonce.Status{tt.status, tt.again} {
				got := call(t.Context(), e, name, s.sellFor(name, tt.ends))
				if got.Status != status || (tt.ends == nil) != (got.err == nil) {
					t.Errorf("%s: got %s %q, %v, want %s", name, got.Status, got.Body, got.err, status)
				}
			}

			if rows := s.rows(t) - before; rows != tt.rows {
				t.Errorf("%s: %d rows, want %d", name, rows, tt.rows)
			}
		}
	})
}

// A key is bytes, which a database may take for a text that it cannot read.
func TestSingleTransactionLeavesOneRecordForEachKey(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		const keys = 20

		s, e := k.opened(t, onlyonce.SingleTransaction)

		for i := range keys {
			key := fmt.Sprint("key-", i)

			call(t.Context(), e, key, s.sell(key)).mustBe(t, onlyonce.StatusExecuted, string(body(int64(i+1))))
			call(t.Context(), e, key, s.sell(key)).mustBe(t, onlyonce.StatusReplayed, string(body(int64(i+1))))
		}

		if n := k.rows(s.db).count(t); n != keys {
			t.Errorf("%d records, want %d", n, keys)
		}
	})
}

func TestF22DuplicatesEverywhereAtOnceRunOneSingleTransaction(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		const processes, callers = 4, 25

		base := k.fresh(t)
		first := pool(base.DB(t, k.params...))
		s := k.orders(t, first)

		var all sync.WaitGroup

		for range processes {
			e := engine(t, k.on(t, pool(base.DB(t, k.params...))), onlyonce.SingleTransaction)

			for range callers {
				all.Go(func() {
					for {
						got := call(t.Context(), e, "one", s.sell("one"))
						if errors.Is(got.err, onlyonce.ReasonInProgress) || errors.Is(got.err, onlyonce.ReasonStoreUnavailable) {
							continue // as a client does
						}

						if got.err != nil || got.Status != onlyonce.StatusExecuted && got.Status != onlyonce.StatusReplayed {
							t.Errorf("got %s, %v", got.Status, got.err)
						}

						return
					}
				})
			}
		}

		all.Wait()

		if rows := s.rows(t); rows != 1 {
			t.Errorf("%d rows", rows)
		}
	})
}

func TestDuplicateInAnotherProcessWaitsForTheTransactionAndIsReplayed(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		db := pool(base.DB(t, k.params...))
		s := k.orders(t, db)
		here := engine(t, k.on(t, db), onlyonce.SingleTransaction)
		there := engine(t, k.on(t, pool(base.DB(t, k.params...))), onlyonce.SingleTransaction)

		handler, inside, letGo := s.held()
		first := inBackground(t.Context(), here, handler)

		<-inside

		duplicate := inBackground(t.Context(), there, s.sell("one"))

		letGo()
		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-duplicate).mustBe(t, onlyonce.StatusReplayed, "#1")
		s.mustHave(t, 1, 1)
	})
}

func TestDuplicateInAnotherProcessIsInProgressWhenItsWaitIsOver(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		db := pool(base.DB(t, k.params...))
		s := k.orders(t, db)
		here := engine(t, k.on(t, db), onlyonce.SingleTransaction)
		there := engine(t, k.on(t, pool(base.DB(t, k.params...))), onlyonce.SingleTransaction,
			onlyonce.WithPolicy(onlyonce.Policy{MaxWait: time.Millisecond}))

		handler, inside, letGo := s.held()
		first := inBackground(t.Context(), here, handler)

		<-inside

		call(t.Context(), there, "one", s.sell("one")).mustBeRejected(t, onlyonce.ReasonInProgress)

		// The bound is for the claim alone. The handler may wait for longer.
		call(t.Context(), there, "two", s.sell("two")).mustBe(t, onlyonce.StatusExecuted, "#2")
		letGo()
		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestSingleTransactionAddsTwoStatements(t *testing.T) {
	each(t, servers()[:1], func(t *testing.T, k kind) {
		t.Helper()

		st, proxy := k.behind(t)
		s := k.orders(t, pool(proxy.DB(t, k.params...)))
		e := engine(t, st, onlyonce.SingleTransaction)

		added := func(key string, ends error) int {
			proxy.Reset()
			_ = call(t.Context(), e, key, s.sellFor(key, ends))

			n := 0

			for _, st := range proxy.Statements() {
				if !sqltest.Starting("INSERT INTO orders")(st) && !sqltest.Starting("begin")(st) &&
					!sqltest.Starting("commit")(st) && !sqltest.Starting("rollback")(st) || sqltest.Starting("rollback to")(st) {
					n++
				}
			}

			return n
		}

		for _, tt := range []struct {
			name, key string
			ends      error
			most      int
		}{
			{"a run", "one", nil, 2}, {"a replay", "one", nil, 1}, {"a definite error", "two", onlyonce.Final(errNo), 2},
			{"an ambiguous one", "three", errNo, 1},
		} {
			if n := added(tt.key, tt.ends); n != tt.most {
				t.Errorf("%s adds %d statements, must be %d: %v", tt.name, n, tt.most, proxy.Statements())
			}
		}
	})
}

// A completion that changed an index would leave a dead entry in each of them.
func TestCompletionOfASingleTransactionIsAHeapOnlyUpdate(t *testing.T) {
	each(t, []kind{kinds[0], pipelined()}, func(t *testing.T, k kind) {
		t.Helper()

		const calls = 50

		s, e := k.opened(t, onlyonce.SingleTransaction)

		for i := range calls {
			if got := call(t.Context(), e, strconv.Itoa(i), s.sell("one")); got.err != nil {
				t.Fatal(got.err)
			}
		}

		eventually(t, "the statistics are there", func() bool {
			var updated, hot int64

			query := "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1"
			if err := s.db.QueryRowContext(t.Context(), query, sqlstore.DefaultTable).Scan(&updated, &hot); err != nil {
				t.Fatal(err)
			}

			// An update whose row does not fit on its page is not heap-only.
			if hot < updated-calls/5 {
				t.Fatalf("%d of %d updates are heap-only", hot, updated)
			}

			return updated == calls
		})
	})
}

func TestHandlerThatTakesASecondConnectionCannotStarveThePool(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		db := base.DB(t, k.params...)
		db.SetMaxOpenConns(4)

		s := k.orders(t, db)
		e := engine(t, k.on(t, db), onlyonce.SingleTransaction)

		var all sync.WaitGroup

		for i := range 40 {
			all.Go(func() {
				key := fmt.Sprint("key-", i)

				got := call(t.Context(), e, key, func(ctx context.Context) ([]byte, error) {
					var one int
					if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
						return nil, err
					}

					return s.sell(key)(ctx)
				})
				if got.err != nil {
					t.Errorf("%s: %v", key, got.err)
				}
			})
		}

		all.Wait()
		s.mustHave(t, 40, 40)
	})
}

func TestStatementsOutsideOfTheTransactionAreRefused(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.SingleTransaction)

		var (
			late sqlstore.DBTX
			n    int
		)

		call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
			late = sqlstore.Tx(ctx)

			return s.sell("one")(ctx)
		}).mustBe(t, onlyonce.StatusExecuted, "#1")

		for want, tx := range map[error]sqlstore.DBTX{sqlstore.ErrOver: late, sqlstore.ErrNoTransaction: sqlstore.Tx(t.Context())} {
			_, execErr := tx.ExecContext(t.Context(), s.insert(), "late", 1)
			_, queryErr := tx.QueryContext(t.Context(), "SELECT 1") //nolint:sqlclosecheck,rowserrcheck,gocritic // there are none
			rowErr := tx.QueryRowContext(t.Context(), "SELECT 1").Scan(&n)
			_, prepareErr := tx.PrepareContext(t.Context(), "SELECT 1") //nolint:sqlclosecheck // there is none

			for _, err := range []error{execErr, queryErr, rowErr, prepareErr} {
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
		}

		s.mustHave(t, 1, 1)
	})
}

func TestRowsThatAHandlerLeavesOpenDoNotHoldTheTransaction(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.SingleTransaction)

		_ = call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
			rows, err := sqlstore.Tx(ctx).QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2") //nolint:sqlclosecheck // left open on purpose
			if err != nil {
				return nil, err
			}

			rows.Next()

			return nil, rows.Err()
		})

		if got := call(t.Context(), e, "one", s.sell("one")); got.err != nil {
			t.Error(got.err)
		}
	})
}

func TestRunIsRolledBackWhenItsContextEndsDuringAStatement(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.SingleTransaction)
		sleep := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "SELECT pg_sleep(20)", sqlstore.MySQL: "SELECT sleep(20)"}[k.dialect]

		got := call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
			if _, err := s.sell("one")(ctx); err != nil {
				return nil, err
			}

			ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()

			_, err := sqlstore.Tx(ctx).ExecContext(ctx, sleep)

			return nil, err
		})
		if got.err == nil {
			t.Error("there was no error")
		}

		s.mustHave(t, 1, 0)
		call(t.Context(), e, "one", s.sell("one")).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestRecordThatWasReleasedIsClaimedInASingleTransaction(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		st := k.on(t, db)
		s := k.orders(t, db)
		leased := engine(t, st, onlyonce.JoinedTransaction)
		single := engine(t, st, onlyonce.SingleTransaction)

		if got := call(t.Context(), leased, "one", s.sellFor("one", nil)); !errors.Is(got.err, sqlstore.ErrNoTransaction) {
			t.Errorf("got %s, %v", got.Status, got.err)
		}

		call(t.Context(), single, "one", s.sell("one")).mustBe(t, onlyonce.StatusExecuted, "#2")
		call(t.Context(), leased, "one", s.sell("one")).mustBe(t, onlyonce.StatusReplayed, "#2")

		if rows := s.rows(t); rows != 1 {
			t.Errorf("%d rows", rows)
		}
	})
}

func TestF47TransactionsThatConflictAreRunAgainAndNoneIsLost(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		const calls = 12

		db := k.base(t)
		// Two rows that transactions change in opposite orders: they lock each other out, or cannot be serialized.
		st := k.on(t, db, sqlstore.WithIsolation(map[sqlstore.Dialect]sql.IsolationLevel{
			sqlstore.PostgreSQL: sql.LevelSerializable, sqlstore.MySQL: sql.LevelRepeatableRead,
		}[k.dialect]))
		e := engine(t, st, onlyonce.SingleTransaction)

		stock(t, db)

		var all sync.WaitGroup

		for i := range calls {
			all.Go(func() {
				key := fmt.Sprint("key-", i)

				for {
					got := call(t.Context(), e, key, func(ctx context.Context) ([]byte, error) {
						for j := range 2 {
							query := k.numbered("UPDATE stock SET n = n + 1 WHERE id = ?")
							if _, err := sqlstore.Tx(ctx).ExecContext(ctx, query, 1+(i+j)%2); err != nil {
								return nil, err
							}
						}

						return nil, nil
					})
					if errors.Is(got.err, onlyonce.ReasonStoreUnavailable) {
						continue
					}

					if got.err != nil {
						t.Errorf("%s: %s, %v", key, got.Status, got.err)
					}

					return
				}
			})
		}

		all.Wait()

		mustHaveMoved(t, db, calls)
	})
}

func TestSingleTransactionsNeedOneConnection(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		db.SetMaxOpenConns(1)

		s := k.orders(t, db)
		e := engine(t, k.on(t, db), onlyonce.SingleTransaction)

		for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
			call(t.Context(), e, "one", s.sell("one")).mustBe(t, want, "#1")
		}
	})
}

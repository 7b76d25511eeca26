package sqlstoretest_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

// bothPostgreSQL are the kinds that send a transaction's statements one by one, and together.
func bothPostgreSQL() []kind { return []kind{kinds[0], pipelined()} }

// modes are ways in which pgx sends statements: prepared, described or as text.
func modes(of ...kind) (all []kind) {
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		for _, k := range of {
			k.name += " " + mode
			k.params = append([]string{"default_query_exec_mode=" + mode}, k.params...)
			all = append(all, k)
		}
	}

	return all
}

func TestSingleTransactionWorksInEveryModeOfTheDriver(t *testing.T) {
	escaping := pipelined()
	escaping.name, escaping.params = "escaped bytes", []string{"bytea_output=escape"}

	each(t, modes(kinds[0], pipelined(), escaping), func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.SingleTransaction)

		if _, err := s.db.ExecContext(t.Context(), "CREATE UNIQUE INDEX ON orders (name)"); err != nil {
			t.Fatal(err)
		}

		for range 2 {
			_ = call(t.Context(), e, "released", s.sellFor("released", onlyonce.NotExecuted(errNo)))
		}

		for _, status := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
			call(t.Context(), e, "sold", s.sell("sold")).mustBe(t, status, "#3")

			// A statement has failed, so that the transaction executes nothing but a rollback.
			taken := call(t.Context(), e, "taken", func(ctx context.Context) ([]byte, error) {
				answer, err := s.sell("sold")(ctx)

				return answer, onlyonce.Final(err)
			})
			if taken.err == nil || taken.Status != status {
				t.Errorf("a definite error: %s, %v", taken.Status, taken.err)
			}
		}

		s.mustHave(t, 4, 1)
	})
}

// If the record disappears from the view of its own transaction, the transaction must not commit.
func TestTransactionThatDoesNotFindItsRecordDoesNotCommit(t *testing.T) {
	each(t, bothPostgreSQL(), func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.SingleTransaction)

		for range 2 {
			call(t.Context(), e, "one", s.sellAfter("one", "DELETE FROM onlyonce_records")).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		}

		s.mustHave(t, 2, 0)
		call(t.Context(), e, "one", s.sell("one")).mustBe(t, onlyonce.StatusExecuted, "#3")
	})
}

func TestF98RecordIsFoundWhateverSearchPathTheHandlerLeaves(t *testing.T) {
	each(t, bothPostgreSQL(), func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.SingleTransaction)

		for _, query := range []string{
			"CREATE SCHEMA tenant", "CREATE TABLE tenant.onlyonce_records (LIKE public.onlyonce_records INCLUDING ALL)",
			"CREATE VIEW tenant.orders AS SELECT * FROM public.orders",
		} {
			if _, err := s.db.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}

		sell := s.sellAfter("one", "SET LOCAL search_path = tenant")
		call(t.Context(), e, "one", sell).mustBe(t, onlyonce.StatusExecuted, "#1")
		call(t.Context(), e, "one", sell).mustBe(t, onlyonce.StatusReplayed, "#1")
		s.mustHave(t, 1, 1)
	})
}

// sellAfter sells after another statement in the transaction.
func (s *shop) sellAfter(key, query string) func(ctx context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		if _, err := sqlstore.Tx(ctx).ExecContext(ctx, query); err != nil {
			return nil, err
		}

		return s.sell(key)(ctx)
	}
}

// Open rows end with the transaction, in any context, and keep neither the call nor the connection.
func TestRowsThatAHandlerLeavesOpenKeepNothing(t *testing.T) {
	t.Parallel()

	for name, leave := range map[string]func(ctx context.Context) error{
		"rows": func(ctx context.Context) error {
			rows, err := sqlstore.Tx(ctx).QueryContext(ctx, "SELECT generate_series(1, 100000)") //nolint:sqlclosecheck // which is the point
			if err == nil && !rows.Next() {
				err = rows.Err()
			}

			return err
		},
		"a row": func(ctx context.Context) error {
			return sqlstore.Tx(ctx).QueryRowContext(ctx, "SELECT 1").Err()
		},
		"rows of a statement": func(ctx context.Context) error {
			stmt, err := sqlstore.Tx(ctx).PrepareContext(ctx, "SELECT generate_series(1, 100000)") //nolint:sqlclosecheck // as above
			if err != nil {
				return err
			}

			rows, err := stmt.QueryContext(ctx) //nolint:sqlclosecheck // as above
			if err == nil && !rows.Next() {
				err = rows.Err()
			}

			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, bothPostgreSQL(), func(t *testing.T, k kind) {
				t.Helper()

				s, e := k.opened(t, onlyonce.SingleTransaction)
				s.db.SetMaxOpenConns(1)

				for i, ends := range []error{nil, errNo, onlyonce.Final(errNo)} {
					got := call(t.Context(), e, strconv.Itoa(i), func(ctx context.Context) ([]byte, error) {
						return body(1), errors.Join(leave(context.WithoutCancel(ctx)), ends)
					})
					if errors.Is(got.err, onlyonce.ReasonLeaseLost) {
						t.Errorf("nobody knows what has become of it: %v", got.err)
					}
				}

				call(t.Context(), e, "next", s.sell("next")).mustBe(t, onlyonce.StatusExecuted, "#1")
				s.mustHave(t, 1, 1)
				eventually(t, "the connection is free", func() bool { return s.db.Stats().InUse == 0 })
			})
		})
	}
}

// A goroutine that outlives its handler, which none should, writes nothing any more.
func TestLateStatementsOfARolledBackTransactionWriteNothing(t *testing.T) {
	t.Parallel()

	type execute func(ctx context.Context, args ...any) error

	for name, late := range map[string]func(ctx context.Context, query string) (execute, error){
		"of the transaction": func(ctx context.Context, query string) (execute, error) {
			tx := sqlstore.Tx(ctx)

			return func(ctx context.Context, args ...any) error {
				_, err := tx.ExecContext(ctx, query, args...)

				return err
			}, nil
		},
		"prepared": func(ctx context.Context, query string) (execute, error) {
			stmt, err := sqlstore.Tx(ctx).PrepareContext(ctx, query) //nolint:sqlclosecheck // it ends with the transaction

			return func(ctx context.Context, args ...any) error {
				_, err := stmt.ExecContext(ctx, args...)

				return err
			}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, bothPostgreSQL(), func(t *testing.T, k kind) {
				t.Helper()

				var all sync.WaitGroup

				s, e := k.opened(t, onlyonce.SingleTransaction)

				for i := range 20 {
					got := call(t.Context(), e, strconv.Itoa(i), func(ctx context.Context) ([]byte, error) {
						exec, err := late(ctx, s.insert())
						if err != nil {
							return nil, err
						}

						begun := make(chan struct{})

						all.Go(func() {
							err := exec(context.WithoutCancel(ctx), "late", i)
							close(begun)

							for err == nil {
								err = exec(context.WithoutCancel(ctx), "late", i)
							}
						})
						<-begun

						return nil, errNo // everything is rolled back
					})
					if got.err == nil {
						t.Error("it was not rolled back")
					}
				}

				all.Wait()

				if rows := s.rows(t); rows != 0 {
					t.Errorf("%d rows of runs that were rolled back", rows)
				}
			})
		})
	}
}

// answeredError is an error with which PostgreSQL has answered.
type answeredError string

func (s answeredError) Error() string    { return "SQLSTATE " + string(s) }
func (s answeredError) SQLState() string { return string(s) }

// The store checks the pipeline's replies to a commit. A connection with an open transaction does not return to the pool.
func TestF12RepliesOfAPipelineToACommitAreChecked(t *testing.T) {
	all := func(statements []sqlstore.Statement) []sqlstore.Statement { return statements }

	for name, tt := range map[string]struct {
		sends func([]sqlstore.Statement) []sqlstore.Statement
		err   error
		want  store.State
	}{
		"without the commit": {func(s []sqlstore.Statement) []sqlstore.Statement { return s[:len(s)-1] }, errNo, store.Absent},
		"committed":          {all, errNo, store.Completed},
		"committed, XX000":   {all, answeredError("XX000"), store.Completed},
		"nothing, 57P01":     {func(s []sqlstore.Statement) []sqlstore.Statement { return s[:0] }, answeredError("57P01"), store.Absent},
		"committed, dead":    {all, driver.ErrBadConn, store.Completed},
		"nothing, 40001":     {func(s []sqlstore.Statement) []sqlstore.Statement { return s[:0] }, answeredError("40001"), store.Absent},
	} {
		t.Run(name, func(t *testing.T) {
			k := pipelined()
			db := k.base(t)
			db.SetMaxOpenConns(1)

			st := k.on(t, db, sqlstore.WithPipeline(func(ctx context.Context, conn any, statements []sqlstore.Statement) error {
				if statements[len(statements)-1].Query != "COMMIT" {
					return pgxpipeline.Send(ctx, conn, statements)
				}

				if sent := tt.sends(statements); len(sent) > 0 {
					if err := pgxpipeline.Send(ctx, conn, sent); err != nil {
						return err
					}
				}

				return tt.err
			}))

			claim := newClaim()

			_, tx, err := st.Begin(t.Context(), claim, time.Second)
			if err != nil {
				t.Fatal(err)
			}

			res, err := tx.Complete(t.Context(), completion(claim, "paid"), false)
			if rec := lookup(t, st, claim.Key).Record; rec.State != tt.want || res.Applied != (tt.want == store.Completed) ||
				errors.Is(err, store.ErrRolledBack) != (tt.want == store.Absent) {
				t.Errorf("the record is %v, Complete returned %t, %v", rec.State, res.Applied, err)
			}

			if conflict := errors.Is(tt.err, answeredError("40001")); errors.Is(err, store.ErrConflict) != conflict {
				t.Errorf("a conflict: %t, want %t", !conflict, conflict)
			}

			// Within one open transaction, both numbers would be equal.
			var first, second string
			for _, id := range []*string{&first, &second} {
				if err := db.QueryRowContext(t.Context(), "SELECT pg_current_xact_id()::text").Scan(id); err != nil {
					t.Fatal(err)
				}
			}

			if first == second {
				t.Error("the pool has a connection with an open transaction")
			}
		})
	}
}

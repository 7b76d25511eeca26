package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// run is a single transaction of a shop, and its handler's context.
type run struct {
	*shop

	store *sqlstore.Store
	claim store.Claim
	tx    store.Transaction
	ctx   context.Context // the handler's context
}

// begin opens the transaction of a new key.
func (s *shop) begin(tb testing.TB, st *sqlstore.Store) run {
	tb.Helper()

	claim := newClaim()
	claim.Guarantee = store.ExactlyOnce

	res, tx, err := st.Begin(tb.Context(), claim, patience)
	must(tb, res, err)

	return run{s, st, claim, tx, tx.Context(tb.Context())}
}

// exec sends a statement of the handler's, which must succeed.
func (r run) exec(tb testing.TB, query string, args ...any) {
	tb.Helper()

	if _, err := sqlstore.Tx(r.ctx).ExecContext(r.ctx, query, args...); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

// sells writes an order in the transaction.
func (r run) sells(tb testing.TB) {
	tb.Helper()

	if _, err := r.sell("one")(r.ctx); err != nil {
		tb.Fatal(err)
	}
}

// hidden are statements that end the transaction, and whose first word does not tell.
func (k kind) hidden() (query string, args []any) {
	switch k.dialect {
	case sqlstore.PostgreSQL:
		return "SELECT 1; COMMIT", []any{pgx.QueryExecModeSimpleProtocol}
	case sqlstore.MySQL:
		return "CREATE TABLE side (id int)", nil
	default:
		return "DELETE FROM orders WHERE false; COMMIT", nil
	}
}

// harmless is a statement that could have ended the transaction, judged by its first word.
func (k kind) harmless() (query string, args []any) {
	switch k.dialect {
	case sqlstore.PostgreSQL:
		return "SELECT 1; SELECT 2", []any{pgx.QueryExecModeSimpleProtocol}
	case sqlstore.MySQL:
		return "SET @harmless = 1", nil
	default:
		return "DELETE FROM orders WHERE false; DELETE FROM orders WHERE false", nil
	}
}

func TestF70TransactionReportsWhetherItsHandlerHasUsedIt(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)

		for name, use := range map[string]func(ctx context.Context, tx sqlstore.DBTX){
			"nothing": nil,
			"exec":    func(ctx context.Context, tx sqlstore.DBTX) { _, _ = tx.ExecContext(ctx, "SELECT 1") },
			"query": func(ctx context.Context, tx sqlstore.DBTX) {
				if rows, err := tx.QueryContext(ctx, "SELECT 1"); err == nil { //nolint:rowserrcheck // the error does not matter
					defer rows.Close()
				}
			},
			"row": func(ctx context.Context, tx sqlstore.DBTX) { _ = tx.QueryRowContext(ctx, "SELECT 1").Scan(new(int)) },
			"prepare": func(ctx context.Context, tx sqlstore.DBTX) {
				if stmt, err := tx.PrepareContext(ctx, "SELECT 1"); err == nil {
					defer stmt.Close()
				}
			},
		} {
			r := s.begin(t, st)
			handler := sqlstore.Tx(r.ctx)

			if use != nil {
				use(r.ctx, handler)
			}

			if used := r.tx.Used(); used != (use != nil) {
				t.Errorf("%s: used is %t", name, used)
			}

			res, err := r.tx.Complete(t.Context(), completion(r.claim, "sold"), false)
			must(t, res, err)

			if used := r.tx.Used(); used != (use != nil) {
				t.Errorf("%s: used is %t when it has ended", name, used)
			}
		}
	})
}

func TestF74SavepointOfTheHandlersOwnDoesNotKeepItsRows(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)
		r := s.begin(t, st)

		r.sells(t)
		r.exec(t, "SAVEPOINT onlyonce")
		r.sells(t)

		res, err := r.tx.Complete(t.Context(), completion(r.claim, "refused"), true)
		must(t, res, err)
		s.mustHave(t, 2, 0)

		if got := lookup(t, st, r.claim.Key).Record; got.State != store.Completed || string(got.Outcome) != "refused" {
			t.Errorf("the record is %+v", got)
		}
	})
}

func TestF74StatementsThatEndTheTransactionAreNotSent(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)
		r := s.begin(t, st)

		r.sells(t)

		for _, query := range []string{"COMMIT", " rollback", "-- all\n/* of it */ End;", "BEGIN", "START TRANSACTION"} {
			tx := sqlstore.Tx(r.ctx)

			_, execErr := tx.ExecContext(r.ctx, query)
			_, queryErr := tx.QueryContext(r.ctx, query)     //nolint:gocritic,sqlclosecheck,rowserrcheck // there are none
			_, prepareErr := tx.PrepareContext(r.ctx, query) //nolint:sqlclosecheck // there is none

			for _, err := range []error{execErr, queryErr, prepareErr, tx.QueryRowContext(r.ctx, query).Scan(new(int))} {
				if !errors.Is(err, sqlstore.ErrEndsTransaction) {
					t.Errorf("%q: got %v", query, err)
				}
			}
		}

		if _, err := r.tx.Rollback(); err != nil {
			t.Error(err)
		}

		s.mustHave(t, 1, 0)
	})
}

func TestF74TransactionThatItsHandlerHasEndedIsNotReportedAsRolledBack(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		for name, end := range map[string]func(ctx context.Context, r run) error{
			"not executed": func(_ context.Context, r run) error {
				_, err := r.tx.Rollback()

				return err
			},
			"success": func(ctx context.Context, r run) error {
				_, err := r.tx.Complete(ctx, completion(r.claim, "sold"), false)

				return err
			},
			"definite error": func(ctx context.Context, r run) error {
				_, err := r.tx.Complete(ctx, completion(r.claim, "refused"), true)

				return err
			},
		} {
			st, db := k.open(t)
			s := k.orders(t, db)
			r := s.begin(t, st)
			query, args := k.hidden()

			r.sells(t)
			r.exec(t, query, args...)

			if err := end(t.Context(), r); err == nil || errors.Is(err, store.ErrRolledBack) {
				t.Errorf("%s: got %v", name, err)
			}

			s.mustHave(t, 1, 1)

			// The record that is left must not have an outcome.
			if res, err := st.Lookup(t.Context(), r.claim.Key); err == nil && res.Record.State == store.Completed {
				t.Errorf("%s: the record is %+v", name, res.Record)
			}
		}
	})
}

func TestF74TransactionThatMayHaveEndedAndHasNotCommitsOrRollsBackAsUsual(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)
		query, args := k.harmless()

		for _, undo := range []bool{false, true} {
			r := s.begin(t, st)
			r.exec(t, query, args...)
			r.sells(t)

			if _, err := r.tx.Rollback(); err != nil {
				t.Error(err)
			}

			r = s.begin(t, st)
			r.sells(t)
			r.exec(t, query, args...)

			res, err := r.tx.Complete(t.Context(), completion(r.claim, "sold"), undo)
			must(t, res, err)
		}

		s.mustHave(t, 4, 1)
	})
}

// The function of a joined run commits the transaction itself. Its error must not count as that of a run that has done nothing.
func TestF74JoinedTransactionThatItsFunctionHasEndedLosesTheMarksOfItsError(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)

		definite, other := newClaim(), newClaim()
		start(t, st, definite)
		start(t, st, other)

		for _, run := range []store.Joinable{&joinedRun{claim: definite}, &indefinite{joinedRun{claim: other}}} {
			_, err := sqlstore.InTx(st.Join(t.Context(), run), db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
				query, args := k.hidden()
				_, err := tx.ExecContext(ctx, s.insert(), "one", s.runs.Add(1))
				_, ended := tx.ExecContext(ctx, query, args...)

				return nil, errors.Join(err, ended, errNo)
			})
			if err == nil || errors.Is(err, errNo) {
				t.Errorf("%T: got %v", run, err)
			}
		}

		s.mustHave(t, 2, 2)
	})
}

// The function commits the transaction itself. Its definite error must not be recorded, because its writes exist.
func TestF74DefiniteErrorIsNotRecordedWhereTheFunctionHasCommittedByItself(t *testing.T) {
	mustNotBelieve(t, onlyonce.Final)
}

// The function commits the transaction itself and claims that nothing happened. It must not be believed, or the call
// would run again.
func TestF74JoinedRunIsNotReleasedWhereItsFunctionHasCommittedByItself(t *testing.T) {
	mustNotBelieve(t, onlyonce.NotExecuted)
}

// mustNotBelieve checks that the outcome is unknown if a function commits the transaction itself and then marks its error.
func mustNotBelieve(t *testing.T, mark func(error) error) {
	t.Helper()

	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.JoinedTransaction)

		got := call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
			return sqlstore.InTx(ctx, s.db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
				_, err := tx.ExecContext(ctx, s.insert(), "one", s.runs.Add(1))

				return nil, mark(errors.Join(errNo, err, tx.Commit()))
			})
		})
		if got.err == nil || got.Status != onlyonce.StatusUnknown {
			t.Errorf("got %s, %v", got.Status, got.err)
		}

		s.mustHave(t, 1, 1)
	})
}

// The error of a statement has rolled the writes back already, as the definite error wants.
func TestDefiniteErrorOfAJoinedRunIsRecordedAfterAStatementHasFailed(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.JoinedTransaction)

		for _, status := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
			got := call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
				return sqlstore.InTx(ctx, s.db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
					_, err := tx.ExecContext(ctx, s.insert(), "one", s.runs.Add(1))
					_, failed := tx.ExecContext(ctx, "SELECT n FROM nothing")

					return nil, onlyonce.Final(errors.Join(err, failed))
				})
			})
			if got.err == nil || got.Status != status {
				t.Errorf("got %s, %v, want %s", got.Status, got.err, status)
			}
		}

		s.mustHave(t, 1, 0)
	})
}

// indefinite is a run whose errors may not be recorded.
type indefinite struct{ joinedRun }

func (j *indefinite) Outcome(_ any, err error) (op store.Completion, definite, keep bool, problem error) {
	return completion(j.claim, "paid"), err == nil, false, nil
}

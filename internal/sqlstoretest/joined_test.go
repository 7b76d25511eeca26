package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// joinFor is a handler that joins, and returns ends as its error.
func (s *shop) joinFor(name string, ends error) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		return sqlstore.InTx(ctx, s.db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
			run := s.runs.Add(1)
			_, err := tx.ExecContext(ctx, s.insert(), name, run)

			return body(run), errors.Join(err, ends)
		})
	}
}

func TestJoinedTransactionCommitsRowsAndCompletionTogether(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.JoinedTransaction)

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
				got := call(t.Context(), e, name, s.joinFor(name, tt.ends))
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

// lib is a way to write to a database.
type lib func(ctx context.Context, s *shop, dsn string, response []byte) error

// libs lists the libraries that a handler may open its transaction with.
func libs() map[string]lib {
	return map[string]lib{
		"database/sql": func(ctx context.Context, s *shop, _ string, response []byte) error {
			tx, err := s.db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()

			if _, err := tx.ExecContext(ctx, s.insert(), "one", 1); err != nil {
				return err
			}

			if err := sqlstore.Join(ctx, tx, response); err != nil {
				return err
			}

			return tx.Commit()
		},
		"pgx": func(ctx context.Context, s *shop, dsn string, response []byte) error {
			conn, err := pgx.Connect(ctx, dsn)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))

			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, s.insert(), "one", 1); err != nil {
					return err
				}

				return sqlstore.Join(ctx, sqlstore.ExecFunc(func(ctx context.Context, query string, args ...any) (int64, error) {
					tag, err := tx.Exec(ctx, query, args...)

					return tag.RowsAffected(), err
				}), response)
			})
		},
	}
}

func TestHandlerJoinsWithTheLibraryOfItsChoice(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		for name, write := range libs() {
			if name == "pgx" && k.dialect != sqlstore.PostgreSQL {
				continue
			}

			base := k.fresh(t)
			db := pool(base.DB(t, k.params...))
			s := k.orders(t, db)
			e := engine(t, k.on(t, db), onlyonce.JoinedTransaction)
			handler := func(ctx context.Context) ([]byte, error) {
				s.runs.Add(1)

				return []byte("sold"), write(ctx, s, base.DSN(), []byte("sold"))
			}

			call(t.Context(), e, "one", handler).mustBe(t, onlyonce.StatusExecuted, "sold")
			call(t.Context(), e, "one", handler).mustBe(t, onlyonce.StatusReplayed, "sold")
			s.mustHave(t, 1, 1)
		}
	})
}

func TestF12JoinedCommitReplyLostIsDecidedByTheRecord(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		for fault, rows := range map[sqltest.Fault]int64{sqltest.LostReply: 1, sqltest.LostRequest: 0} {
			st, proxy := k.behind(t)
			s := k.orders(t, pool(proxy.DB(t, k.params...)))
			e := engine(t, st, onlyonce.JoinedTransaction)

			armed := proxy.Next(fault, sqltest.Starting("commit"))
			first := call(t.Context(), e, "one", s.join("one"))

			armed.Wait()
			s.mustHave(t, 1, rows)

			if rows == 1 {
				first.mustBe(t, onlyonce.StatusExecuted, "#1")
				call(t.Context(), e, "one", s.join("one")).mustBe(t, onlyonce.StatusReplayed, "#1")
			} else {
				if first.err == nil || first.Status != onlyonce.StatusUnknown {
					t.Errorf("got %s %q, %v", first.Status, first.Body, first.err)
				}

				call(t.Context(), e, "one", s.join("one")).mustBe(t, onlyonce.StatusExecuted, "#2")
			}
		}
	})
}

func TestF16OvertakenRunCannotCommitWhatItHasWritten(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		st := k.on(t, db)
		s := k.orders(t, db)
		other := engine(t, st, onlyonce.JoinedTransaction)
		ran := false

		var second answer

		late := func(ctx context.Context) ([]byte, error) {
			ran = true
			second = call(t.Context(), other, "one", s.join("winner")) //nolint:contextcheck // it is no call of this run's

			var overtaken error

			_, err := sqlstore.InTx(context.WithoutCancel(ctx), s.db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
				if _, err := tx.ExecContext(ctx, s.insert(), "late", 0); err != nil {
					return nil, err
				}

				overtaken = sqlstore.Join(ctx, tx, body(0))

				return nil, overtaken
			})

			if !errors.Is(overtaken, sqlstore.ErrOvertaken) {
				t.Errorf("the overtaken run was told %v", overtaken)
			}

			return nil, err
		}

		var first answer

		// On a slow machine, a lease can end before the run begins. Then nothing runs, and the next call has a longer lease.
		for lease := 5 * unit; !ran; lease *= 2 {
			if lease > patience {
				t.Fatalf("nothing ran with a lease below %v: %v", lease, first.err)
			}

			// Its renewals do not arrive, so that its lease ends while it runs.
			paused := engine(t, mute{st}, onlyonce.JoinedTransaction, onlyonce.WithPolicy(onlyonce.Policy{Lease: lease}))
			first = call(t.Context(), paused, "one", late)
		}

		second.mustBe(t, onlyonce.StatusExecuted, "#1")
		first.mustBe(t, onlyonce.StatusReplayed, "#1")
		s.mustHave(t, 1, 1)
	})
}

// mute is a store whose renewals do not arrive.
type mute struct{ *sqlstore.Store }

func (mute) Renew(context.Context, store.Renewal) (store.Result, error) {
	return store.Result{}, errors.New("the line is dead")
}

func TestHandlerOfAJoinedRunThatDoesNotCommitFailsWithNotCommitted(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.JoinedTransaction)

		got := call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
			tx, err := s.db.BeginTx(ctx, nil)
			if err != nil {
				return nil, err
			}

			if _, err := tx.ExecContext(ctx, s.insert(), "one", s.runs.Add(1)); err != nil {
				return nil, err
			}

			err = sqlstore.Join(ctx, tx, []byte("lie"))

			return []byte("lie"), errors.Join(err, tx.Rollback())
		})
		if !errors.Is(got.err, onlyonce.ErrNotCommitted) {
			t.Errorf("got %s %q, %v", got.Status, got.Body, got.err)
		}

		call(t.Context(), e, "one", s.join("one")).mustBe(t, onlyonce.StatusExecuted, "#2")
		s.mustHave(t, 2, 1)
	})
}

func TestF47JoinedTransactionsThatConflictAreRunAgain(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		const calls = 6

		base := k.fresh(t)
		db := pool(base.DB(t, k.params...))
		// Its renewals do not wait for handlers that wait for each other.
		e := engine(t, k.on(t, pool(base.DB(t, k.params...))), onlyonce.JoinedTransaction)

		stock(t, db)

		var all sync.WaitGroup

		for i := range calls {
			all.Go(func() {
				key := string([]byte{'A' + byte(i)})
				handler := func(ctx context.Context) ([]byte, error) {
					return sqlstore.InTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
						for j := range 2 {
							if _, err := tx.ExecContext(ctx, k.numbered("UPDATE stock SET n = n + 1 WHERE id = ?"), 1+(i+j)%2); err != nil {
								return nil, err
							}
						}

						return nil, nil
					})
				}

				until := time.Now().Add(patience)
				for got := call(t.Context(), e, key, handler); got.err != nil; got = call(t.Context(), e, key, handler) {
					if time.Now().After(until) {
						t.Errorf("%s: %s, %v", key, got.Status, got.err)

						return
					}
				}
			})
		}

		all.Wait()

		mustHaveMoved(t, db, calls)
	})
}

func TestF70CallWithoutARunHasAPlainTransactionOnlyWhereThatIsAllowed(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.opened(t, onlyonce.JoinedTransaction)

		for _, ends := range []error{nil, errNo} {
			if _, err := s.joinFor("plain", ends)(t.Context()); !errors.Is(err, sqlstore.ErrNoRun) {
				t.Errorf("got %v, want %v", err, sqlstore.ErrNoRun)
			}

			if _, err := s.joinFor("plain", ends)(sqlstore.OptionalRun(t.Context())); !errors.Is(err, ends) {
				t.Errorf("got %v, want %v", err, ends)
			}
		}

		if err := sqlstore.Join(t.Context(), nil, "nothing to join"); !errors.Is(err, sqlstore.ErrNoRun) {
			t.Errorf("got %v, want %v", err, sqlstore.ErrNoRun)
		}

		if err := sqlstore.Join(sqlstore.OptionalRun(t.Context()), nil, "nothing to join"); err != nil {
			t.Error(err)
		}

		s.mustHave(t, 2, 1)
	})
}

var errPolicy = errors.New("set TransactionMode to JoinedTransaction")

func TestF70RunThatMayNotJoinIsRefusedAndWritesNothing(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)
		claim := newClaim()
		start(t, st, claim)

		ctx := st.Join(t.Context(), &joinedRun{claim: claim, refusal: errPolicy})

		for _, ctx := range []context.Context{ctx, sqlstore.OptionalRun(ctx)} {
			if _, err := s.join("one")(ctx); !errors.Is(err, sqlstore.ErrNotJoined) || !errors.Is(err, errPolicy) {
				t.Errorf("InTx returned %v", err)
			}

			if err := sqlstore.Join(ctx, nil, "an answer"); !errors.Is(err, sqlstore.ErrNotJoined) || !errors.Is(err, errPolicy) {
				t.Errorf("Join returned %v", err)
			}
		}

		// A run inside of it that may join does.
		inner := newClaim()
		start(t, st, inner)

		if _, err := s.join("two")(st.Join(ctx, &joinedRun{claim: inner})); err != nil {
			t.Error(err)
		}

		s.mustHave(t, 1, 1)

		if outer, inner := lookup(t, st, claim.Key).Record.State, lookup(t, st, inner.Key).Record.State; outer != store.Running ||
			inner != store.Completed {
			t.Errorf("the records are %v and %v", outer, inner)
		}
	})
}

func TestRunWithASingleTransactionCannotJoinAnother(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.SingleTransaction)

		got := call(t.Context(), e, "one", s.join("one"))
		if !errors.Is(got.err, sqlstore.ErrNotJoined) {
			t.Errorf("got %s, %v", got.Status, got.err)
		}

		s.mustHave(t, 0, 0)
	})
}

// A machine that stands still may lose a lease. Then the test is repeated with a longer one.
func TestRunWhoseTransactionWasRolledBackAfterItJoinedKeepsItsLease(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		for lease := 20 * unit; !keepsItsLease(t, k, lease); lease *= 2 {
			if lease > 100*unit {
				t.Fatalf("a lease of %v was lost", lease)
			}
		}
	})
}

// keepsItsLease reports whether a run keeps its lease after its transaction was rolled back.
func keepsItsLease(t *testing.T, k kind, length time.Duration) bool {
	t.Helper()

	base := k.fresh(t)
	db := pool(base.DB(t, k.params...))
	s := k.orders(t, db)
	lease := onlyonce.WithPolicy(onlyonce.Policy{
		Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.JoinedTransaction, Lease: length, MaxRun: generous, MaxWait: patience,
	})
	here, there := engine(t, k.on(t, db), 0, lease), engine(t, k.on(t, pool(base.DB(t, k.params...))), 0, lease)
	undone := make(chan struct{})

	first := inBackground(t.Context(), here, func(ctx context.Context) ([]byte, error) {
		defer s.runs.Add(1)

		tx, err := db.BeginTx(ctx, nil)
		if err == nil {
			err = errors.Join(sqlstore.Join(ctx, tx, []byte("not yet")), tx.Rollback())
		}

		close(undone)

		if err != nil {
			return nil, err
		}

		time.Sleep(length + length/4) // longer than its lease

		return s.join("one")(ctx)
	})

	happens(t, "the transaction is rolled back", undone)

	second := call(t.Context(), there, "one", s.join("one"))
	answered := happens(t, "the first answer", first)

	if rows := s.rows(t); rows > 1 {
		t.Errorf("%d rows", rows)
	}

	if second.err != nil || second.Status != onlyonce.StatusReplayed {
		t.Logf("a lease of %v was lost: %s, %v; %s, %v", length, second.Status, second.err, answered.Status, answered.err)

		return false
	}

	second.mustBe(t, onlyonce.StatusReplayed, "#1")
	answered.mustBe(t, onlyonce.StatusExecuted, "#1")
	s.mustHave(t, 2, 1)

	return true
}

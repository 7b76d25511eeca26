package sqlstoretest_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

// A savepoint would take a second one, and so would a record in a transaction of its own.
func TestSingleTransactionTakesOneTransactionIDForEachCall(t *testing.T) {
	t.Parallel()

	// On a server that nobody else uses.
	server := sqltest.Postgres(t, sqltest.WithoutSync(), sqltest.WithArgs("-c", "autovacuum=off"))

	for i, k := range bothPostgreSQL() {
		const calls = 20

		db := pool(server.DB(t))
		opts := append(k.options, sqlstore.WithTable(fmt.Sprint("records_", i)))

		if err := sqlstore.Migrate(t.Context(), db, k.dialect, opts...); err != nil {
			t.Fatal(err)
		}

		st, err := sqlstore.New(db, k.dialect, append(opts, sqlstore.WithTimeout(generous))...)
		if err != nil {
			t.Fatal(err)
		}

		if _, err := db.ExecContext(t.Context(), "DROP TABLE IF EXISTS orders"); err != nil {
			t.Fatal(err)
		}

		s, e := k.orders(t, db), engine(t, st, onlyonce.SingleTransaction)

		next := func() (id int64) {
			if err := db.QueryRowContext(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&id); err != nil {
				t.Fatal(err)
			}

			return id
		}

		for name, tt := range map[string]struct {
			handler func(key string) func(context.Context) ([]byte, error)
			ids     int64
		}{
			"success": {s.sell, 1},
			// A handler that finds out by itself has written nothing that is to be undone.
			"refused": {func(string) func(context.Context) ([]byte, error) {
				return func(context.Context) ([]byte, error) { return nil, onlyonce.Final(errNo) }
			}, 1},
			"definite-error": {func(key string) func(context.Context) ([]byte, error) { return s.sellFor(key, onlyonce.Final(errNo)) }, 2},
		} {
			before := next()

			for n := range calls {
				key := name + strconv.Itoa(n)
				if got := call(t.Context(), e, key, tt.handler(key)); got.Status != onlyonce.StatusExecuted {
					t.Fatalf("%s, %s: %s, %v", k.name, name, got.Status, got.err)
				}
			}

			if got := next() - before - 1; got != calls*tt.ids {
				t.Errorf("%s, %s: %d calls take %d transaction IDs, must be %d", k.name, name, calls, got, calls*tt.ids)
			}
		}
	}
}

// Between the rollback of the handler's writes and the transaction that records its error, the key is free.
func TestDefiniteErrorGivesWayToTheOutcomeThatSomebodyElseHasRecorded(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		elsewhere := k.on(t, pool(base.DB(t, k.params...)))
		s := k.orders(t, pool(base.DB(t, k.params...)))

		for name, completes := range map[string]bool{"completed": true, "running": false} {
			var other store.Claim

			st := k.interrupted(t, base, sync.OnceFunc(func() {
				res, err := elsewhere.Claim(t.Context(), other)
				if err == nil && completes {
					res, err = elsewhere.Complete(t.Context(), completion(other, "theirs"))
				}

				if err != nil || !res.Applied {
					t.Errorf("%s: somebody else: applied=%t, %v", name, res.Applied, err)
				}
			}))

			r := s.begin(t, st)
			r.sells(t)

			other = claimOn(r.claim.Key)

			res, err := r.tx.Complete(t.Context(), completion(r.claim, "ours"), true)
			if err != nil || res.Applied || res.Record.Token != other.Token || (res.Record.State == store.Completed) != completes {
				t.Errorf("%s: applied=%t, %v, %v", name, res.Applied, res.Record.State, err)
			}

			if got := lookup(t, st, r.claim.Key).Record; got.Token != other.Token || string(got.Outcome) == "ours" {
				t.Errorf("%s: the record is %+v", name, got)
			}
		}

		if rows := s.rows(t); rows != 0 {
			t.Errorf("%d rows of a run that was rolled back", rows)
		}
	})
}

// interrupted is a store that does something else between a rollback and the statement after it.
func (k kind) interrupted(t *testing.T, base *sqltest.Database, between func()) *sqlstore.Store {
	t.Helper()

	if k.options != nil { // it sends both together
		return k.on(t, pool(base.DB(t, k.params...)), sqlstore.WithPipeline(
			func(ctx context.Context, conn any, statements []sqlstore.Statement) error {
				if len(statements) > 1 && statements[0].Query == "ROLLBACK" {
					if err := pgxpipeline.Send(ctx, conn, statements[:1]); err != nil {
						return err
					}

					between()

					statements = statements[1:]
				}

				return pgxpipeline.Send(ctx, conn, statements)
			}))
	}

	proxy := sqltest.NewProxy(t, base)
	ended := false

	st := k.on(t, pool(proxy.DB(t, k.params...)))

	// It sees each statement before the server gets it.
	seen := proxy.Next(sqltest.Passed, func(statement sqltest.Statement) bool {
		if ended {
			between()

			return true
		}

		ended = sqltest.Starting("rollback")(statement)

		return false
	})

	t.Cleanup(func() { seen.Disarm() })

	return st
}

// A duplicate that waits for the row gets it when the handler's writes are rolled back, and may be faster.
func TestCallersOfOneKeyGetOneOutcomeWhereTheFirstRunEndsInADefiniteError(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		const processes = 3

		base := k.fresh(t)
		s := k.orders(t, pool(base.DB(t, k.params...)))
		engines := make([]*onlyonce.Engine, 0, processes)

		for range processes {
			engines = append(engines, engine(t, k.on(t, pool(base.DB(t, k.params...))), onlyonce.SingleTransaction))
		}

		for round := range 6 {
			key := strconv.Itoa(round)
			before := s.rows(t)

			var (
				all  sync.WaitGroup
				got  [processes]answer
				ends = [processes]error{onlyonce.Final(errNo), nil, onlyonce.Final(errors.New("another"))}
			)

			outcome := func(a answer) string {
				if a.err == nil {
					return string(a.Body)
				}

				return strconv.FormatBool(strings.Contains(a.err.Error(), "another"))
			}

			for i, e := range engines {
				all.Go(func() {
					for {
						got[i] = call(t.Context(), e, key, s.sellFor(key, ends[i]))
						if !errors.Is(got[i].err, onlyonce.ReasonInProgress) && !errors.Is(got[i].err, onlyonce.ReasonStoreUnavailable) &&
							!errors.Is(got[i].err, onlyonce.ReasonLeaseLost) {
							return
						}
					}
				})
			}

			all.Wait()

			rows, want := s.rows(t)-before, int64(0)
			if got[0].err == nil {
				want = 1
			}

			for _, a := range got {
				if rows != want || outcome(a) != outcome(got[0]) {
					t.Fatalf("round %d: %d rows, want %d: %v and %v", round, rows, want, outcome(a), outcome(got[0]))
				}
			}
		}
	})
}

// The record may be lost, before and after the database has executed it: then it is found out, and the caller is not misled.
func TestF12LossOfTheRecordOfADefiniteErrorIsDecidedOnAnotherConnection(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		records := func(statement sqltest.Statement) bool {
			text := strings.ToLower(statement.Text)

			return strings.HasPrefix(text, "commit") || strings.HasPrefix(text, "insert into") && strings.Contains(text, "$15")
		}

		for fault, want := range map[sqltest.Fault]store.State{sqltest.LostReply: store.Completed, sqltest.LostRequest: store.Absent} {
			st, proxy := k.behind(t)
			s := k.orders(t, pool(proxy.DB(t, k.params...)))
			r := s.begin(t, st)
			r.sells(t)

			armed := proxy.Next(fault, records)
			res, err := r.tx.Complete(t.Context(), completion(r.claim, "refused"), true)

			armed.Wait()

			if got := lookup(t, st, r.claim.Key).Record.State; got != want || res.Applied != (want == store.Completed) ||
				errors.Is(err, store.ErrRolledBack) != (want == store.Absent) {
				t.Errorf("%v: applied=%t, %v; the record is %v, want %v", fault, res.Applied, err, got, want)
			}

			s.mustHave(t, 1, 0)
		}
	})
}

// What ends the transaction of a handler by an error has rolled its writes back, as a definite error wants.
func TestDefiniteErrorIsRecordedWhereAnErrorHasEndedTheTransaction(t *testing.T) {
	t.Parallel()

	k := kinds[2]
	s, e := k.opened(t, onlyonce.SingleTransaction)
	stock(t, s.db)

	for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		got := call(t.Context(), e, "one", func(ctx context.Context) ([]byte, error) {
			if _, err := s.sell("one")(ctx); err != nil {
				return nil, err
			}

			_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT OR ROLLBACK INTO stock VALUES (1, 0)")

			return nil, onlyonce.Final(err)
		})
		if got.err == nil || got.Status != want {
			t.Errorf("got %s, %v, want %s", got.Status, got.err, want)
		}
	}

	s.mustHave(t, 1, 0)
}

// The savepoint that tells whether the transaction has ended goes before the handler's, or going back to that would look like an end.
func TestF74HandlerMayGoBackToItsOwnSavepointAfterAStatementThatMayEndTheTransaction(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)
		query, args := k.harmless()

		for _, undo := range []bool{false, true} {
			r := s.begin(t, st)
			r.sells(t)
			r.exec(t, "SAVEPOINT mine")
			r.exec(t, query, args...)
			r.sells(t)
			r.exec(t, "ROLLBACK TO SAVEPOINT mine")

			res, err := r.tx.Complete(t.Context(), completion(r.claim, "sold"), undo)
			must(t, res, err)
		}

		s.mustHave(t, 4, 1)
	})
}

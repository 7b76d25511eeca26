package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

// A savepoint would take a second one, and so would a record in a transaction of its own.
func TestSingleTransactionTakesOneTransactionIDForEachCall(t *testing.T) {
	t.Parallel()

	// The test needs a server without other users.
	server := sqltest.Postgres(t, sqltest.WithoutSync(), sqltest.WithArgs("-c", "autovacuum=off"))

	for i, k := range bothPostgreSQL() {
		const calls = 20

		db := pool(server.DB(t))
		opts := append([]sqlstore.Option{sqlstore.WithTable(fmt.Sprint("records_", i))}, k.options...)

		if err := sqlstore.Migrate(t.Context(), db, k.dialect, opts...); err != nil {
			t.Fatal(err)
		}

		st, err := newStore(db, k.dialect, append(opts, sqlstore.WithTimeout(generous))...)
		if err != nil {
			t.Fatal(err)
		}

		if _, err := db.ExecContext(t.Context(), "DROP TABLE IF EXISTS orders"); err != nil {
			t.Fatal(err)
		}

		s, e := k.orders(t, db), engine(t, st, onlyonce.SingleTransaction)

		for name, tt := range map[string]struct {
			handler func(key string) func(context.Context) ([]byte, error)
			ids     int64
		}{
			"success": {s.sell, 1},
			// A handler that finds out itself has no writes to roll back.
			"refused": {func(string) func(context.Context) ([]byte, error) {
				return func(context.Context) ([]byte, error) { return nil, onlyonce.Final(errNo) }
			}, 1},
			"definite-error": {func(key string) func(context.Context) ([]byte, error) { return s.sellFor(key, onlyonce.Final(errNo)) }, 2},
		} {
			before := transactionID(t, db)

			for n := range calls {
				key := name + strconv.Itoa(n)
				if got := call(t.Context(), e, key, tt.handler(key)); got.Status != onlyonce.StatusExecuted {
					t.Fatalf("%s, %s: %s, %v", k.name, name, got.Status, got.err)
				}
			}

			if got := transactionID(t, db) - before - 1; got != calls*tt.ids {
				t.Errorf("%s, %s: %d calls take %d transaction IDs, must be %d", k.name, name, calls, got, calls*tt.ids)
			}
		}
	}
}

// The claim takes one transaction ID, and the handler's transaction another. A savepoint would take a third.
func TestJoinedTransactionTakesTwoTransactionIDsForEachCall(t *testing.T) {
	t.Parallel()

	const calls = 20

	k := kinds[0]
	// The test needs a server without other users.
	db := pool(sqltest.Postgres(t, sqltest.WithoutSync(), sqltest.WithArgs("-c", "autovacuum=off")).DB(t))
	s, e := k.orders(t, db), engine(t, k.on(t, db), onlyonce.JoinedTransaction)

	for name, tt := range map[string]struct {
		ends error
		ids  int64
		rows int64
	}{
		"success":    {nil, 2, calls},
		"keeps":      {onlyonce.KeepWrites(onlyonce.Final(errNo)), 2, calls},
		"definite":   {onlyonce.Final(errNo), 3, 0}, // its record is written apart
		"no-outcome": {onlyonce.NotExecuted(errNo), 3, 0},
	} {
		before, rows := transactionID(t, db), s.rows(t)

		for n := range calls {
			got := call(t.Context(), e, name+strconv.Itoa(n), s.joinFor(name, tt.ends))
			if got.Status != onlyonce.StatusExecuted && got.Status != onlyonce.StatusReleased || (got.err == nil) != (tt.ends == nil) {
				t.Fatalf("%s: %s, %v", name, got.Status, got.err)
			}
		}

		if got := transactionID(t, db) - before - 1; got != calls*tt.ids {
			t.Errorf("%s: %d calls take %d transaction IDs, must be %d", name, calls, got, calls*tt.ids)
		}

		if got := s.rows(t) - rows; got != tt.rows {
			t.Errorf("%s: %d calls have left %d rows, must be %d", name, calls, got, tt.rows)
		}
	}
}

// transactionID takes the next transaction ID of PostgreSQL.
func transactionID(t *testing.T, db *sql.DB) (id int64) {
	t.Helper()

	if err := db.QueryRowContext(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&id); err != nil {
		t.Fatal(err)
	}

	return id
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

	// The function sees each statement before the server does.
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

// A record that was there before is there again after the rollback.
func TestDefiniteErrorReplacesTheRecordThatTheClaimHasReplaced(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)

		expired := newClaim()
		expired.Retention = time.Millisecond
		start(t, st, expired)
		res, err := st.Complete(t.Context(), completion(expired, "expired"))
		end := must(t, res, err).Record.ExpiresAt

		eventually(t, "the retention ends", func() bool { return lookup(t, st, expired.Key).Now.After(end) })

		released := newClaim()
		start(t, st, released)
		res, err = st.Release(t.Context(), release(released))
		fence := must(t, res, err).Record.Fence

		for name, claim := range map[string]store.Claim{"expired": claimOn(expired.Key), "released": claimOn(released.Key)} {
			if name == "released" {
				claim.Fence = fence
			}

			res, tx, err := st.Begin(t.Context(), claim, patience)
			must(t, res, err)

			r := run{s, st, claim, tx, tx.Context(t.Context())}
			r.sells(t)

			res, err = tx.Complete(t.Context(), completion(claim, "refused"), true)
			done := must(t, res, err).Record

			got := lookup(t, st, claim.Key).Record
			if got.State != store.Completed || string(got.Outcome) != "refused" || got.Token != claim.Token || got.Fence != claim.Fence+1 ||
				got.Fence != done.Fence {
				t.Errorf("%s: the record is %+v, and was reported as %+v", name, got, done)
			}
		}

		s.mustHave(t, 2, 0)
	})
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

// A server that takes no writes has certainly recorded nothing. The store does not wait to find that out.
func TestF99DefiniteErrorIsRolledBackWhereTheServerTakesNoWritesAnyMore(t *testing.T) {
	t.Parallel()

	server := sqltest.Postgres(t, sqltest.WithoutSync())
	admin := server.DB(t)

	for i, k := range bothPostgreSQL() {
		st := k.on(t, pool(server.DB(t)), sqlstore.WithTable(fmt.Sprint("records_", i)))
		r := (&shop{kind: k}).begin(t, st)
		r.exec(t, "SELECT 1")

		execute(t, admin, strings.Join(k.demoting(), ";\n"))
		eventually(t, "writes are refused", func() bool {
			_, err := st.Claim(t.Context(), newClaim())

			return err != nil
		})

		ctx, cancel := context.WithTimeout(t.Context(), patience)

		_, err := r.tx.Complete(ctx, completion(r.claim, "refused"), true)
		if !errors.Is(err, store.ErrRolledBack) || ctx.Err() != nil {
			t.Errorf("%s: %v", k.name, err)
		}

		cancel()
		execute(t, admin, "ALTER SYSTEM RESET default_transaction_read_only;\nSELECT pg_reload_conf()")
		eventually(t, "writes are taken", func() bool {
			res, err := st.Claim(t.Context(), newClaim())

			return err == nil && res.Applied
		})
	}
}

// An error that ends the handler's transaction has rolled its writes back, as a definite error requires.
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

// The store sets its savepoint, which shows whether the transaction has ended, before those of the handler. A rollback
// to a handler's savepoint would otherwise look like an end.
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

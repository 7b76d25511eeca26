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
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// isolations maps every isolation level to the driver's parameters for it.
func isolations(k kind) map[string]string {
	switch k.dialect {
	case sqlstore.PostgreSQL:
		return map[string]string{
			"read committed":  "default_transaction_isolation=read%20committed",
			"repeatable read": "default_transaction_isolation=repeatable%20read",
			"serializable":    "default_transaction_isolation=serializable",
		}
	default:
		variable := "tx_isolation"
		if k.name == "MySQL" {
			variable = "transaction_isolation" // which MariaDB has from version 11.1 on
		}

		return map[string]string{
			"read committed":  variable + "=%27READ-COMMITTED%27",
			"repeatable read": variable + "=%27REPEATABLE-READ%27",
			"serializable":    variable + "=%27SERIALIZABLE%27",
			// Whether an update counts that changes nothing.
			"found rows": "clientFoundRows=true",
			// Statements with their arguments in the text.
			"interpolated": "interpolateParams=true",
		}
	}
}

// Serialization failures and deadlocks are tried again: many callers work on few keys.
func TestF47InEveryIsolationLevelOneRunsAtATimeAndNobodySeesAConflict(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		for name, param := range isolations(k) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				contend(t, k.on(t, pool(k.fresh(t).DB(t, param))))
			})
		}
	})
}

func TestF47ManyHandlesOnAFileOfSQLiteTakeTurns(t *testing.T) {
	t.Parallel()

	k, base := kinds[2], sqltest.SQLite(t)

	var wg sync.WaitGroup

	// Each handle stands for a process: it does not know the turns of the others.
	for range 4 {
		s := k.on(t, pool(base.DB(t, k.params...)), sqlstore.WithTimeout(crowded))

		wg.Go(func() { contend(t, s) })
	}

	wg.Wait()
}

// contend lets many callers claim, and release or complete, a few keys.
func contend(t *testing.T, s *sqlstore.Store) {
	t.Helper()

	const (
		callers = 8
		rounds  = 5
	)

	for range rounds {
		key := newKey()

		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			runs int
		)

		for i := range callers {
			wg.Go(func() {
				claim := claimOn(key)
				claim.Guarantee = store.AtLeastOnce

				res, err := s.Claim(t.Context(), claim)
				if err == nil && !res.Applied && res.Record.State == store.Released {
					claim.Fence = res.Record.Fence
					res, err = s.Claim(t.Context(), claim)
				}

				if err != nil {
					t.Errorf("a claim returned %v", err)

					return
				}

				if !res.Applied {
					return
				}

				mu.Lock()
				runs++
				mu.Unlock()

				if i%2 == 0 {
					res, err = s.Release(t.Context(), release(claim))
				} else {
					res, err = s.Complete(t.Context(), completion(claim, strconv.Itoa(i)))
				}

				if err != nil || !res.Applied {
					t.Errorf("the end of a run: %+v, %v", res, err)
				}
			})
		}

		wg.Wait()

		rec := lookup(t, s, key).Record
		if rec.Fence != uint64(runs) || rec.State != store.Released && rec.State != store.Completed {
			t.Errorf("after %d runs the record is %+v", runs, rec)
		}
	}
}

// locked holds a lock on everything that an operation needs, until it is released.
func (k kind) locked(t *testing.T, db *sql.DB) (unlock func()) {
	t.Helper()

	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	statements := []string{"BEGIN IMMEDIATE"}
	if k.dialect != sqlstore.SQLite {
		statements = []string{"BEGIN", fmt.Sprintf("UPDATE %s SET revision = revision", sqlstore.DefaultTable)}
	}

	for _, statement := range statements {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}

	return func() {
		if _, err := conn.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK"); err != nil {
			t.Error(err)
		}

		conn.Close()
	}
}

func TestF47AnOperationThatALockKeepsWaitingEndsWithItsContextAndWorksAfterwards(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		claim := newClaim()
		start(t, s, claim)
		unlock := k.locked(t, db)

		ctx, cancel := context.WithTimeout(t.Context(), unit)
		defer cancel()

		began := time.Now()

		if _, err := s.Complete(ctx, completion(claim, "paid")); !failed(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a completion behind a lock returned %v", err)
		}

		if took := time.Since(began); took > patience/2 {
			t.Errorf("it took %v", took)
		}

		// Replays and lookups do not wait.
		if got := lookup(t, s, claim.Key); got.Record.State != store.Running {
			t.Errorf("the record is %+v", got.Record)
		}

		completed := make(chan error, 1)

		go func() {
			res, err := s.Complete(t.Context(), completion(claim, "paid"))
			if err == nil && !res.Applied {
				err = errors.New("not applied")
			}

			completed <- err
		}()

		unlock()

		if err := <-completed; err != nil {
			t.Error(err)
		}
	})
}

func TestWithRetryableReplacesWhatIsTriedAgain(t *testing.T) {
	t.Parallel()

	k, base := kinds[2], sqltest.SQLite(t)
	db := pool(base.DB(t, k.params...))

	var seen error

	s := k.on(t, db, sqlstore.WithRetryable(func(err error) bool {
		seen = err

		return false
	}))
	claim := newClaim()
	unlock := k.locked(t, db)

	if _, err := s.Claim(t.Context(), claim); err == nil || seen == nil {
		t.Errorf("a claim behind a lock returned %v, asked about %v", err, seen)
	}

	unlock()
}

func TestWithRetryableIsCalledWithErrorsOnly(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t, sqlstore.WithRetryable(func(err error) bool {
			if err == nil {
				t.Error("it is asked about no error")
			}

			return false
		}))
		s := k.orders(t, db)
		alone, joined := engine(t, st, onlyonce.SingleTransaction), engine(t, st, onlyonce.JoinedTransaction)

		for _, status := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
			call(t.Context(), alone, "single", s.sell("single")).mustBe(t, status, "#1")
			call(t.Context(), joined, "joined", s.join("joined")).mustBe(t, status, "#2")
		}

		// The record has the handler's error, and the handler's writes are rolled back.
		if got := call(t.Context(), alone, "refused", s.sellFor("refused", onlyonce.Final(errNo))); got.Status != onlyonce.StatusExecuted {
			t.Errorf("got %s, %v", got.Status, got.err)
		}

		s.mustHave(t, 3, 2)
	})
}

package sqlstoretest_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// F93: each duplicate once cost a connection to MySQL, whose session went on waiting for the lock.
func TestF93DuplicatesOfASingleTransactionElsewhereAreInProgressAndLeaveNoSessionBehind(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		const duplicates = 10

		base := k.fresh(t)
		db, other := pool(base.DB(t, k.params...)), pool(base.DB(t, k.params...))
		s := k.orders(t, db)
		here := engine(t, k.on(t, db), onlyonce.SingleTransaction)
		there := engine(t, k.on(t, other), onlyonce.SingleTransaction, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: time.Millisecond}))

		handler, inside, letGo := s.held()
		first := inBackground(t.Context(), here, handler)

		<-inside

		for range duplicates {
			call(t.Context(), there, "one", s.sell("one")).mustBeRejected(t, onlyonce.ReasonInProgress)
		}

		if n, own := k.sessions(t, db), db.Stats().OpenConnections+other.Stats().OpenConnections; n > own {
			t.Errorf("the server has %d sessions, the pools have %d connections", n, own)
		}

		if n := other.Stats().OpenConnections; n != 1 {
			t.Errorf("the duplicates, one after the other, have %d connections, want 1", n)
		}

		letGo()
		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

// Calls that begin at the same moment do not see each other before they wait for each other.
func TestF93OfTwoSingleTransactionsThatBeginAtOnceOneIsInProgress(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		const rounds = 5

		base := k.fresh(t)
		s := k.orders(t, pool(base.DB(t, k.params...)))

		engines := make([]*onlyonce.Engine, 2)
		for i := range engines {
			engines[i] = engine(t, k.on(t, pool(base.DB(t, k.params...))), onlyonce.SingleTransaction,
				onlyonce.WithPolicy(onlyonce.Policy{MaxWait: time.Millisecond}))
		}

		for round := range rounds {
			handler, inside, letGo := s.held()
			ended := make(chan answer, len(engines))

			for _, e := range engines {
				go func() { ended <- call(t.Context(), e, fmt.Sprint("round-", round), handler) }()
			}

			happens(t, "one of two runs", inside)
			happens(t, "the other ends", ended).mustBeRejected(t, onlyonce.ReasonInProgress)
			letGo()

			if got := happens(t, "the run ends", ended); got.Status != onlyonce.StatusExecuted {
				t.Errorf("got %s, %v", got.Status, got.err)
			}
		}
	})
}

// F93: a handler, and later users of the connection, wait for locks as long as the session's setting.
func TestF93TheBoundOfAClaimLeavesTheSessionAsItWas(t *testing.T) {
	each(t, mysqls(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		db := base.DB(t, "innodb_lock_wait_timeout=77")
		db.SetMaxOpenConns(2)

		s := k.orders(t, db)
		e := engine(t, k.on(t, db), onlyonce.SingleTransaction, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: onlyonce.DefaultMaxWait}))
		holder := pool(base.DB(t))
		handler, inside, letGo := s.held()
		first := inBackground(t.Context(), engine(t, k.on(t, holder), onlyonce.SingleTransaction), handler)

		<-inside

		if got := call(t.Context(), e, "one", s.sell("one")); got.err == nil {
			t.Errorf("a duplicate got %s", got.Status)
		}

		letGo()
		<-first

		for _, status := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
			if got := call(t.Context(), e, "two", s.sell("two")); got.Status != status {
				t.Errorf("got %s, %v", got.Status, got.err)
			}
		}

		openAll(t, db, 2, func(conn *sql.Conn) {
			var wait int
			if err := conn.QueryRowContext(t.Context(), "SELECT @@innodb_lock_wait_timeout").Scan(&wait); err != nil || wait != 77 {
				t.Errorf("a session waits for %d s, %v, want 77", wait, err)
			}
		})
	})
}

// F93: the server does not see that the driver has closed a connection while its session waits for a lock.
func TestF93AnOperationThatRunsOutOfTimeLeavesNoSessionBehind(t *testing.T) {
	each(t, mysqls(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		holder, params := pool(base.DB(t)), []string(nil)

		if k.name == "MySQL" {
			params = []string{"innodb_lock_wait_timeout=1"} // as Check advises
		}

		s := k.on(t, holder)
		claim := newClaim()
		start(t, s, claim)

		db := pool(base.DB(t, params...))
		short := k.on(t, db, sqlstore.WithTimeout(unit))
		unlock := k.locked(t, holder)

		for range 3 {
			if _, err := short.Complete(t.Context(), completion(claim, "paid")); !failed(err) {
				t.Errorf("a completion behind a lock returned %v", err)
			}
		}

		eventually(t, "sessions that wait end", func() bool {
			return k.sessions(t, holder) <= holder.Stats().OpenConnections+db.Stats().OpenConnections
		})
		unlock()
	})
}

func TestF93CheckAdvisesShortWaitsInMySQL(t *testing.T) {
	each(t, mysqls(), func(t *testing.T, k kind) {
		t.Helper()

		for params, want := range map[string]bool{"innodb_lock_wait_timeout=50": k.name == "MySQL", "innodb_lock_wait_timeout=1": false} {
			s := k.on(t, pool(k.fresh(t).DB(t, params)))

			report, err := s.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}

			got := slices.ContainsFunc(report.Warnings, func(w string) bool { return strings.HasPrefix(w, "innodb_lock_wait_timeout is 50") })
			if got != want {
				t.Errorf("%s: the warnings are %q", params, report.Warnings)
			}
		}
	})
}

// mysqls are the kinds that speak the dialect of MySQL.
func mysqls() []kind {
	var all []kind

	for _, k := range kinds {
		if k.dialect == sqlstore.MySQL {
			all = append(all, k)
		}
	}

	return all
}

// sessions is how many sessions of its server use a database.
func (k kind) sessions(t *testing.T, db *sql.DB) (n int) {
	t.Helper()

	if k.dialect == sqlstore.PostgreSQL {
		const query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}

		return n
	}

	var name string
	if err := db.QueryRowContext(t.Context(), "SELECT DATABASE()").Scan(&name); err != nil {
		t.Fatal(err)
	}

	rows, err := db.QueryContext(t.Context(), "SHOW PROCESSLIST")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()

	columns, err := rows.Columns() // the database is the fourth
	if err != nil {
		t.Fatal(err)
	}

	for rows.Next() {
		var at sql.NullString

		all := make([]any, len(columns))
		for i := range all {
			all[i] = new(sql.RawBytes)
		}

		all[3] = &at
		if err := rows.Scan(all...); err != nil {
			t.Fatal(err)
		}

		if at.String == name {
			n++
		}
	}

	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}

	return n
}

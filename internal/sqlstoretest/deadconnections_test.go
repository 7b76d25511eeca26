package sqlstoretest_test

import (
	"database/sql"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// F91: connections die in silence, as in a failover without a reset, and new ones work.
func TestF91IdleConnectionsThatDieInSilenceCostAFewOperationsAndNotOneEach(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		const (
			dead    = 40
			timeout = 10 * unit
			most    = dead / 2 // operations that fail: the gate shuts after four, and a slow machine needs some probes
		)

		proxy := sqltest.NewProxy(t, k.fresh(t))
		db, opened := k.countedPool(t, proxy.Database)

		db.SetMaxOpenConns(2 * dead)
		db.SetMaxIdleConns(2 * dead)
		k.on(t, db)

		s, err := sqlstore.New(db, k.dialect, sqlstore.WithTimeout(timeout))
		if err != nil {
			t.Fatal(err)
		}

		openAll(t, db, dead, func(*sql.Conn) {})
		proxy.Kill()

		before, failures := opened.Load(), 0

		for claimed := 0; claimed < 2*dead; {
			switch _, err := s.Claim(t.Context(), newClaim()); {
			case err == nil:
				claimed++
			case failures == most:
				t.Fatalf("%d claims have failed: %v", failures+1, err)
			default:
				failures++
			}
		}

		if n := opened.Load() - before; n > most { // each operation that fails costs one at most
			t.Errorf("%d connections were opened, and %d claims have failed", n, failures)
		}
	})
}

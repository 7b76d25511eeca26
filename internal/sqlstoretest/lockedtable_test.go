package sqlstoretest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// counted counts the connections that are opened.
type counted struct {
	driver.Connector

	opened *atomic.Int64
}

func (c counted) Connect(ctx context.Context) (driver.Conn, error) {
	c.opened.Add(1)

	return c.Connector.Connect(ctx)
}

// countedPool is a pool that counts its connections.
func (k kind) countedPool(tb testing.TB, base *sqltest.Database) (db *sql.DB, opened *atomic.Int64) {
	tb.Helper()

	d, ok := base.DB(tb).Driver().(driver.DriverContext)
	if !ok {
		tb.Fatal("the driver has no connectors")
	}

	connector, err := d.OpenConnector(base.DSN(k.params...))
	if err != nil {
		tb.Fatal(err)
	}

	opened = new(atomic.Int64)
	db = pool(sql.OpenDB(counted{connector, opened}))

	tb.Cleanup(func() { _ = db.Close() })

	return db, opened
}

// An operation that runs out of time costs its connection, and the server a session that may go on waiting.
func TestLockedTableDoesNotTakeASessionForEachOperation(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()
		k.mustTakeFewSessions(t, allLocked)
	})
}

// Reads succeed meanwhile, and prove nothing about writes.
func TestTableLockedForWritesDoesNotTakeASessionForEachOperation(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()
		k.mustTakeFewSessions(t, writesLocked)
	})
}

// mustTakeFewSessions sends operations to a locked table.
func (k kind) mustTakeFewSessions(t *testing.T, how locking) {
	t.Helper()

	const (
		operations = 9
		timeout    = 5 * unit // as short as a slow machine allows
	)

	base := k.fresh(t)
	db, opened := k.countedPool(t, base)
	k.on(t, db)

	s, err := newStore(db, k.dialect, sqlstore.WithTimeout(timeout))
	if err != nil {
		t.Fatal(err)
	}

	openAll(t, db, connections, func(*sql.Conn) {})

	unlock := k.lock(t, base.DB(t), how)
	before, began := opened.Load(), time.Now()

	var all sync.WaitGroup

	for i := range connections {
		all.Go(func() {
			for n := range operations {
				var err error

				switch (i + n) % 3 {
				case 0:
					_, _, err = s.Begin(t.Context(), newClaim(), timeout/2)
				case 1:
					_, err = s.Lookup(t.Context(), newKey())
				default:
					_, err = s.Claim(t.Context(), newClaim())
				}

				if err == nil && (how == allLocked || (i+n)%3 != 1) {
					t.Error("there was an answer from a locked table")
				}
			}
		})
	}

	all.Wait()

	// The bound covers the operations under way when the table is locked, those that follow before the gate shuts, and
	// a probe each second. On a slow machine, connections that miss a ping count as dead. Without a gate, nearly each
	// operation would open a connection.
	elapsed := time.Since(began)
	most := 5*connections + int64(elapsed/time.Second)

	if n := opened.Load() - before; n > most {
		t.Errorf("%d operations in %v have opened %d connections, want %d at most", connections*operations, elapsed, n, most)
	}

	unlock()
	eventually(t, "the store works again", func() bool {
		res, err := s.Claim(t.Context(), newClaim())

		return err == nil && res.Applied
	})
}

// locking is how a table is locked.
type locking int

const (
	allLocked    locking = iota // as by a change of the schema
	writesLocked                // as by CREATE INDEX
)

// lock locks the table.
func (k kind) lock(tb testing.TB, db *sql.DB, how locking) (unlock func()) {
	tb.Helper()

	conn, err := db.Conn(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}

	exec := func(query string) {
		if _, err := conn.ExecContext(context.WithoutCancel(tb.Context()), query); err != nil {
			tb.Errorf("%s: %v", query, err)
		}
	}

	queries := map[sqlstore.Dialect][2]string{
		sqlstore.PostgreSQL: {
			"BEGIN; LOCK TABLE " + sqlstore.DefaultTable + map[locking]string{writesLocked: " IN SHARE MODE"}[how], "ROLLBACK",
		},
		sqlstore.MySQL: {
			"LOCK TABLES " + sqlstore.DefaultTable + map[locking]string{allLocked: " WRITE", writesLocked: " READ"}[how], "UNLOCK TABLES",
		},
	}[k.dialect]

	exec(queries[0])

	unlock = sync.OnceFunc(func() {
		exec(queries[1])

		_ = conn.Close()
	})
	tb.Cleanup(unlock)

	return unlock
}

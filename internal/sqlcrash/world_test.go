//go:build unix

package sqlcrash

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/servers"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

const (
	// patience is the longest wait of a test. An event that takes longer counts as missing.
	patience = 2 * time.Minute
	// shortLease is the lease of servers that are killed or stopped: long enough for a busy machine to come that far.
	shortLease = time.Second
	// shortestLease is the lease of servers under load, some of which may lose it.
	shortestLease = 300 * time.Millisecond
	// storeTimeout and settleTimeout are the servers' own. They allow for a machine that stands still.
	storeTimeout  = 15 * time.Second
	settleTimeout = 15 * time.Second
	// connections of a pool.
	connections = 8
)

// kind is a kind of database.
type kind struct {
	name    string
	dialect sqlstore.Dialect
	fresh   func(tb testing.TB) *sqltest.Database
	own     func(tb testing.TB, options ...sqltest.Option) *sqltest.Server // nil where there is no server
	params  []string
	outside []string // the parameters of connections for effects outside transactions
}

// kinds are the databases that servers are killed on. MySQL itself is included if the environment names it.
var kinds = append([]kind{
	{"PostgreSQL", sqlstore.PostgreSQL, sqltest.PostgresDatabase, sqltest.Postgres, nil, nil},
	{"MariaDB", sqlstore.MySQL, sqltest.MariaDBDatabase, sqltest.MariaDB, nil, nil},
	{
		"SQLite", sqlstore.SQLite, sqltest.SQLite, nil, []string{"_pragma=busy_timeout(5)", "_pragma=synchronous(full)"},
		// The store waits for the lock by itself. A handler does not, and a renewal may have the lock.
		[]string{"_pragma=busy_timeout(120000)", "_pragma=synchronous(full)"},
	},
}, newest()...)

func newest() []kind {
	if !servers.Chosen(servers.MySQL9) {
		return nil
	}

	return []kind{{"MySQL", sqlstore.MySQL, sqltest.MySQLDatabase, sqltest.MySQL, nil, nil}}
}

// processes lists the kinds whose database is a process.
func processes() []kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return k.own == nil })
}

// each runs a test on databases.
func each(t *testing.T, kinds []kind, test func(t *testing.T, k kind)) {
	t.Helper()
	t.Parallel()

	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

// world is the environment of the servers: the database, and the reports of the servers.
type world struct {
	kind     kind
	driver   string
	dsn      string // that servers are given
	outside  string // the same for effects outside transactions
	db       *sql.DB
	operator *onlyonce.Engine
	restarts atomic.Int64 // of the database

	mu        sync.Mutex
	processes []*process
	launched  int
	visits    []visit
}

// visit is a server's report of a step of a call.
type visit struct {
	at  point
	key string
}

// newWorld is a world with an empty database.
func newWorld(t *testing.T, k kind) *world {
	t.Helper()

	return newWorldIn(t, k, k.fresh(t))
}

func newWorldIn(t *testing.T, k kind, base *sqltest.Database) *world {
	t.Helper()

	db := base.DB(t, k.params...)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)

	if err := sqlstore.Migrate(t.Context(), db, k.dialect); err != nil {
		t.Fatal(err)
	}

	create := "CREATE TABLE orders (name varchar(64) NOT NULL, run varchar(64) NOT NULL)"
	if _, err := db.ExecContext(t.Context(), create); err != nil {
		t.Fatal(err)
	}

	records, err := sqlstore.New(db, k.dialect, sqlstore.WithTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}

	operator, err := onlyonce.New(records, onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: patience}))
	if err != nil {
		t.Fatal(err)
	}

	w := &world{
		kind: k, driver: base.Driver(), dsn: base.DSN(k.params...), outside: base.DSN(k.outside...),
		db: db, operator: operator,
	}
	t.Cleanup(func() { w.endAll(t) })

	return w
}

// mortal is the policy of servers that are killed or stopped, where somebody waits for their leases.
func mortal() onlyonce.Policy {
	p := sound()
	p.Lease = shortLease

	return p
}

// loaded is the policy of servers under load.
func loaded() onlyonce.Policy {
	p := sound()
	p.Lease = shortestLease

	return p
}

// sound is the policy of servers whose leases outlast every test.
func sound() onlyonce.Policy {
	return onlyonce.Policy{Lease: 2 * patience, MaxRun: 2 * patience, MaxWait: patience / 2, MaxAttempts: 1000}
}

func (w *world) record(t *testing.T, m method, key string) onlyonce.Record {
	t.Helper()

	rec, err := w.operator.Lookup(context.WithoutCancel(t.Context()), onlyonce.Identity{Scope: theScope, Method: methodOf(m), Key: key})
	if err != nil {
		t.Fatalf("Lookup of %s: %v", key, err)
	}

	return rec
}

func (w *world) mustBe(t *testing.T, m method, key string, state store.State) {
	t.Helper()

	if rec := w.record(t, m, key); rec.State != state {
		t.Errorf("the record of %s is %v, want %v", key, rec.State, state)
	}
}

// rows are the runs of each order that have left a row.
func (w *world) rows(t *testing.T) map[string][]string {
	t.Helper()

	found, err := w.db.QueryContext(context.WithoutCancel(t.Context()), "SELECT name, run FROM orders")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()

	rows := make(map[string][]string)

	for found.Next() {
		var name, run string
		if err := found.Scan(&name, &run); err != nil {
			t.Fatal(err)
		}

		rows[name] = append(rows[name], run)
	}

	if err := found.Err(); err != nil {
		t.Fatal(err)
	}

	return rows
}

// mayForget reports whether the database may have lost the record of a duplicate's answer: InnoDB shows a commit to
// others before it is on disk. It must not lose the answer of the run's own caller.
func (w *world) mayForget(got answer) bool {
	return w.kind.dialect == sqlstore.MySQL && w.restarts.Load() > 0 && got.status() != onlyonce.StatusExecuted
}

// records is how many rows the store's table has.
func (w *world) records(t *testing.T) (n int) {
	t.Helper()

	query := "SELECT count(*) FROM " + sqlstore.DefaultTable
	if err := w.db.QueryRowContext(context.WithoutCancel(t.Context()), query).Scan(&n); err != nil {
		t.Fatal(err)
	}

	return n
}

// mustHave checks how often the handler of a key has run, and how often its effect has happened.
func (w *world) mustHave(t *testing.T, key string, runs, effects int) {
	t.Helper()

	if n := w.seen(atHandler, key); n != runs {
		t.Errorf("the handler of %s ran %d times, want %d", key, n, runs)
	}

	if n := len(w.rows(t)[key]); n != effects {
		t.Errorf("the effect of %s happened %d times, want %d", key, n, effects)
	}
}

// seen counts the reports of a step.
func (w *world) seen(at point, key string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()

	for _, v := range w.visits {
		if v == (visit{at, key}) {
			n++
		}
	}

	return n
}

// eventually returns when a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()

	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()

	for deadline := time.Now().Add(patience); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// happens waits until a channel is closed or has a value.
func happens[T any](t *testing.T, what string, channel <-chan T) (said T) {
	t.Helper()

	timer := time.NewTimer(2 * patience)
	defer timer.Stop()

	select {
	case said = <-channel:
	case <-timer.C:
		t.Fatalf("not within %v: %s", 2*patience, what)
	}

	return said
}

// endAll ends all processes. It reports those that ended unexpectedly, panicked or had a data race.
func (w *world) endAll(t *testing.T) {
	t.Helper()

	w.mu.Lock()
	all := slices.Clone(w.processes)
	w.mu.Unlock()

	for _, p := range all {
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
}

var errEnded = errors.New("it has ended by itself")

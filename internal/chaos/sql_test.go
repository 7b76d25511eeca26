//go:build unix

package chaos_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/servers"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

// sqlKind is a kind of database.
type sqlKind struct {
	name    string
	dialect sqlstore.Dialect
	fresh   func(tb testing.TB) *sqltest.Database
}

// sqlKinds are all kinds of databases. MySQL itself is included if the environment names it.
func sqlKinds() []sqlKind {
	kinds := []sqlKind{
		{"PostgreSQL", sqlstore.PostgreSQL, sqltest.PostgresDatabase},
		{"MariaDB", sqlstore.MySQL, sqltest.MariaDBDatabase},
		{"SQLite", sqlstore.SQLite, sqltest.SQLite},
	}
	if servers.Chosen(servers.MySQL9) {
		kinds = append(kinds, sqlKind{"MySQL", sqlstore.MySQL, sqltest.MySQLDatabase})
	}

	return kinds
}

// TestRandomRunsOnSQL makes runs on real databases in real time: leased, as on Redis, and under ExactlyOnce, with rows
// of the same database as effects. The oracle is the same.
func TestRandomRunsOnSQL(t *testing.T) {
	t.Parallel()

	for _, k := range sqlKinds() {
		t.Run(k.name, func(t *testing.T) { runOnSQL(t, k.name, k.dialect, k.fresh) })
	}
}

func runOnSQL(t *testing.T, name string, d sqlstore.Dialect, fresh func(testing.TB) *sqltest.Database) {
	t.Helper()
	t.Parallel()

	for _, transaction := range []onlyonce.TransactionMode{0, onlyonce.SingleTransaction, onlyonce.JoinedTransaction} {
		end := *firstSeed + uint64(*sqlRuns)
		if d == sqlstore.PostgreSQL && transaction == onlyonce.SingleTransaction {
			end++ // one seed with a pipeline and one without
		}

		for seed := *firstSeed; seed < end; seed++ {
			t.Run(fmt.Sprintf("%v, seed %d", transaction, seed), func(t *testing.T) {
				t.Parallel()

				s := newRealScenario(seed, name)
				s.limits.StoreTimeout += 300 * time.Millisecond // a connection that is given up on costs another one
				if transaction != 0 {
					s.policy.Guarantee, s.policy.TransactionMode = onlyonce.ExactlyOnce, transaction
				}

				if d == sqlstore.SQLite {
					s.immortal = true // a simulated death in a transaction would keep the lock of the whole database
				}

				h := s.liveOutside(newDatabase(t, s, d, fresh(t)))

				if broken := s.judge(h); len(broken) > 0 {
					t.Errorf("seed %d: %d violations; again with: go test -race -run TestRandomRunsOnSQL/%s . -seed %d -sql-runs 1\n%s",
						seed, len(broken), name, seed, report(h, broken))
				}

				var sum tally

				sum.add(h)
				t.Log(&sum)
			})
		}
	}
}

// database is a database, and the lines to it.
type database struct {
	t       *testing.T
	rng     *rand.Rand
	timeout time.Duration // of operations
	dialect sqlstore.Dialect
	base    *sqltest.Database
	direct  *sql.DB
	policy  *onlyonce.Policy
	seed    uint64

	mu    sync.Mutex
	lines []*sqltest.Proxy
	late  []*sqltest.Armed
}

func newDatabase(t *testing.T, s *scenario, dialect sqlstore.Dialect, base *sqltest.Database) surroundings {
	t.Helper()

	d := &database{
		t: t, rng: source(s.seed, "database"), timeout: s.limits.StoreTimeout, dialect: dialect, base: base, policy: &s.policy, seed: s.seed,
		direct: base.DB(t, pragmas(dialect)...),
	}

	if err := sqlstore.Migrate(t.Context(), d.direct, dialect); err != nil {
		t.Fatal(err)
	}

	const rows = "CREATE TABLE effects (identity varchar(200) NOT NULL, run bigint NOT NULL)"
	if _, err := d.direct.ExecContext(t.Context(), rows); err != nil {
		t.Fatal(err)
	}

	if s.policy.Guarantee == onlyonce.ExactlyOnce {
		return books{d}
	}

	return d
}

func pragmas(d sqlstore.Dialect) []string {
	if d == sqlstore.SQLite {
		return []string{"_pragma=busy_timeout(5)", "_pragma=synchronous(normal)"}
	}

	return nil
}

// open returns the store of a process: a pool with its own connection. SQLite has no connection.
func (d *database) open() (*sqlstore.Store, *sql.DB, *sqltest.Proxy) {
	var line *sqltest.Proxy

	db := d.direct

	if d.dialect != sqlstore.SQLite {
		line = sqltest.NewProxy(d.t, d.base)
		db = line.DB(d.t)

		d.mu.Lock()
		d.lines = append(d.lines, line)
		d.mu.Unlock()
	}

	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(4)

	var pipeline sqlstore.Pipeline
	if d.dialect == sqlstore.PostgreSQL && d.seed%2 == 1 { // the other half of the runs
		pipeline = pgxpipeline.Send
	}

	records, err := sqlstore.New(db, d.dialect, sqlstore.WithTable(d.base.Table(sqlstore.DefaultTable)), sqlstore.WithoutCheck(),
		sqlstore.WithTimeout(d.timeout), sqlstore.WithPipeline(pipeline))
	if err != nil {
		panic(err)
	}

	return records, db, line
}

// connect implements surroundings.
func (d *database) connect() backend {
	records, _, _ := d.open()

	return records
}

// calm implements surroundings.
func (d *database) calm(w *world) { d.timeout = w.calm() }

// trouble implements surroundings.
func (d *database) trouble(w *world) {
	for time.Since(w.history.began) < w.scenario.horizon {
		time.Sleep(between(d.rng, 0, 150*time.Millisecond))

		length := between(d.rng, 10*time.Millisecond, 120*time.Millisecond)

		if d.dialect == sqlstore.SQLite {
			d.hog(w, length)

			continue
		}

		d.mu.Lock()
		line := d.lines[d.rng.IntN(len(d.lines))]
		d.mu.Unlock()

		switch d.rng.IntN(10) {
		case 0, 1:
			d.lose(w, line, sqltest.LostReply, length)
		case 2, 3:
			d.lose(w, line, sqltest.LostRequest, length)
		case 4, 5:
			d.lose(w, line, sqltest.Late, 5*length) // until claims are given up
		case 6:
			d.lose(w, line, sqltest.Hung, length)
		case 7:
			w.notef("connections are cut")
			line.Cut()
		case 8:
			w.notef("replies are late by %v", length)
			line.Stall()
			time.Sleep(length)
			line.Unstall()
		case 9:
			d.lose(w, line, sqltest.LostReply, length, "commit")
		}

		if chance(d.rng, 0.3) {
			d.deliver(w)
		}
	}

	d.deliver(w)
}

// hog holds the lock of the one writer for a while.
func (d *database) hog(w *world, length time.Duration) {
	tx, err := d.direct.BeginTx(d.t.Context(), nil)
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback() }()

	if _, err := tx.ExecContext(d.t.Context(), "DELETE FROM effects WHERE false"); err == nil {
		w.notef("somebody else writes for %v", length)
		time.Sleep(length)
	}
}

// lose injects a fault into some statements for a while.
func (d *database) lose(w *world, line *sqltest.Proxy, fault sqltest.Fault, length time.Duration, which ...string) {
	choose := rand.New(rand.NewPCG(d.rng.Uint64(), 0))
	share := 0.2 + 0.8*choose.Float64()

	armed := line.Every(fault, func(s sqltest.Statement) bool {
		if len(which) > 0 {
			return strings.HasPrefix(strings.ToLower(s.Text), which[0])
		}

		return chance(choose, share)
	})
	time.Sleep(length)
	armed.Disarm()
	w.notef("%v: %d times in %v", fault, armed.Count(), length)

	if fault == sqltest.Late {
		d.late = append(d.late, armed)
	}
}

// deliver delivers late messages.
func (d *database) deliver(w *world) {
	for _, armed := range d.late {
		if n := armed.Count(); n > 0 {
			w.notef("%d statements arrive late", n)
			armed.MustDeliver()
		}
	}

	d.late = nil
}

// books is a database that also keeps the ledger.
type books struct{ *database }

// own is a process's store, with the pool and the line that its handlers use as well.
type own struct {
	*sqlstore.Store

	db   *sql.DB
	line *sqltest.Proxy
}

func (o own) cut() {
	if o.line != nil {
		o.line.Down()
	}
}

// connect implements surroundings.
func (b books) connect() backend {
	records, db, line := b.open()

	return own{records, db, line}
}

// handle implements ledger.
func (b books) handle(
	ctx context.Context, p *process, r *run, effect bool, answer func() ([]byte, error),
) ([]byte, error) {
	write := func(tx sqlstore.DBTX) ([]byte, error) {
		if effect {
			query := fmt.Sprintf("INSERT INTO effects (identity, run) VALUES ('%v', %d)", r.attempt.id, r.number)
			if _, err := tx.ExecContext(ctx, query); err != nil {
				return nil, err
			}
		}

		return answer()
	}

	if b.policy.TransactionMode == onlyonce.SingleTransaction {
		return write(sqlstore.Tx(ctx))
	}

	of, ok := p.records.(own)
	if !ok {
		return nil, errDied
	}

	return sqlstore.InTx(ctx, of.db, nil, func(_ context.Context, tx *sql.Tx) ([]byte, error) {
		body, err := write(tx)

		if class, ok := onlyonce.MarkedClass(err); err == nil || ok && class == onlyonce.ClassDefinite {
			p.world.history.mu.Lock()
			r.written = valueOf(body, err)
			p.world.history.mu.Unlock()
		}

		return body, err
	})
}

// runsOf implements ledger. It reads committed rows.
func (b books) runsOf(id onlyonce.Identity) (all []int) {
	rows, err := b.direct.QueryContext(context.Background(), fmt.Sprintf("SELECT run FROM effects WHERE identity = '%v'", id))
	if err != nil {
		panic(err)
	}
	defer rows.Close()

	for rows.Next() {
		var number int
		if err := rows.Scan(&number); err != nil {
			panic(err)
		}

		all = append(all, number)
	}

	if err := rows.Err(); err != nil {
		panic(err)
	}

	return all
}

package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// DefaultTimeout bounds one operation where WithTimeout gives none: one second.
	DefaultTimeout = time.Second
	// DefaultSweepInterval is how often Run looks for expired records where WithSweep gives nothing: 10 seconds.
	DefaultSweepInterval = 10 * time.Second
	// DefaultSweepBatch is how many records Run deletes in one statement where WithSweep gives nothing.
	DefaultSweepBatch = 500
)

// Store keeps records in a table. It is safe for concurrent use and by any number of processes.
type Store struct {
	config

	db      *sql.DB
	dialect Dialect
	sql     *statements
	// turn is held while the store writes, where a database has one writer anyway: those of one process then need not
	// find out by trying. It is nil elsewhere.
	turn chan struct{}
	// room bounds single transactions; nil does not.
	room chan struct{}
	// maria is what is known of MySQL: whether it is MariaDB.
	maria *atomic.Pointer[bool]
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Inspector = (*Store)(nil)
	_ store.Lister    = (*Store)(nil)
	_ store.Bounded   = (*Store)(nil)
)

type config struct {
	isolation  sql.IsolationLevel
	most       int
	name       string
	table      table
	timeout    time.Duration
	sweepEvery time.Duration
	sweepBatch int
	retryable  func(error) bool
	pipeline   Pipeline
	// channel is where others are told what does not run any more. Nobody is where it is empty.
	channel string
	checked bool
}

// Option changes a Store under construction.
type Option func(*config)

// WithTable names the table of the records, such as "payments_onlyonce", or with its schema "billing.onlyonce_records". The
// default is DefaultTable. A second table with the same name and the suffix "_schema" holds the version. Names are quoted, and so
// they are case-sensitive in PostgreSQL; they consist of letters, digits and underscores. Stores on different tables do not see
// each other's records.
func WithTable(name string) Option { return func(c *config) { c.name = name } }

// WithTimeout bounds one operation with everything that it tries again; the default is DefaultTimeout. The context of an
// operation can shorten it.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithRetryable says after which errors an operation is tried again at once because the database has undone it: serialization
// failures, deadlocks and the like. It replaces the recognition of SQLSTATE 40001 and 40P01, of MySQL's 1205, 1206 and 1213, of
// MariaDB's 1020 and of SQLite's BUSY and LOCKED, for drivers whose errors do not tell them. The function is never called without an
// error. Nil means that recognition.
func WithRetryable(retryable func(error) bool) Option {
	return func(c *config) { c.retryable = retryable }
}

// WithSweep sets how often Run looks for records whose retention is over, and how many it deletes in one statement. The
// defaults are DefaultSweepInterval and DefaultSweepBatch. While there are more, Run does not wait.
func WithSweep(every time.Duration, batch int) Option {
	return func(c *config) { c.sweepEvery, c.sweepBatch = every, batch }
}

// WithIsolation sets the isolation level of single transactions. The default is the database's. At REPEATABLE READ and SERIALIZABLE
// more of them conflict, and are run again. SQLite has one level, SERIALIZABLE, and refuses others.
func WithIsolation(level sql.IsolationLevel) Option { return func(c *config) { c.isolation = level } }

// WithMaxTransactions bounds how many single transactions are open at a time; others wait for room, and their calls are refused
// with store.ErrFull where that takes longer than a duplicate would wait. The default is half of what the pool may open when New
// is called (see [sql.DB.SetMaxOpenConns]), at least one, so that a handler that takes a second connection from the pool finds one;
// there is no bound where the pool has none.
func WithMaxTransactions(n int) Option { return func(c *config) { c.most = n } }

// WithoutCheck leaves out the Check at construction, so that a service can start while the database is down.
func WithoutCheck() Option { return func(c *config) { c.checked = false } }

// New returns a store on a database handle of the caller's, which the store does not close. It runs Check, and fails where
// Check does. The table is made by [Migrate].
func New(db *sql.DB, d Dialect, opts ...Option) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: New needs a database, as from sql.Open")
	}

	cfg, err := configure(d, opts)
	if err != nil {
		return nil, err
	}

	s := &Store{config: cfg, db: db, dialect: d, sql: loadStatements(d, cfg.table), maria: new(atomic.Pointer[bool])}
	if d == SQLite {
		s.turn = make(chan struct{}, 1)
	}

	if n := cmp.Or(s.most, db.Stats().MaxOpenConnections/2, min(db.Stats().MaxOpenConnections, 1)); n > 0 {
		s.room = make(chan struct{}, n)
	}

	if s.checked {
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
		defer cancel()

		if _, err := s.Check(ctx); err != nil {
			return nil, err
		}
	}

	return s, nil
}

func configure(d Dialect, opts []Option) (config, error) {
	cfg := config{
		name: DefaultTable, timeout: DefaultTimeout, sweepEvery: DefaultSweepInterval, sweepBatch: DefaultSweepBatch, checked: true,
	}

	for _, opt := range opts {
		opt(&cfg)
	}

	var errs []error

	cfg.table, errs = parse(cfg.name, d.validate())

	if cfg.timeout <= 0 {
		errs = append(errs, fmt.Errorf("sqlstore: WithTimeout(%v): give a positive time", cfg.timeout))
	}

	if cfg.sweepEvery <= 0 || cfg.sweepBatch < 1 {
		errs = append(errs, fmt.Errorf("sqlstore: WithSweep(%v, %d): give a positive time and at least 1", cfg.sweepEvery, cfg.sweepBatch))
	}

	if cfg.most < 0 {
		errs = append(errs, fmt.Errorf("sqlstore: WithMaxTransactions(%d): give at least 1, or 0 for the default", cfg.most))
	}

	return cfg, errors.Join(append(errs, cfg.pipelines(d))...)
}

func parse(name string, err error) (table, []error) {
	t, tableErr := parseTable(name)

	return t, []error{err, tableErr}
}

// Bounded implements [store.Bounded]. It holds for drivers that heed the contexts of their calls, as pgx, go-sql-driver/mysql
// and modernc.org/sqlite do.
func (*Store) Bounded() {}

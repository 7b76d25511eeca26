package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/report"
)

type config struct {
	observed         report.To
	isolation        sql.IsolationLevel
	most             int
	name             string
	table            table
	timeout          time.Duration
	sweepEvery       time.Duration
	sweepBatch       int
	unknownRetention time.Duration
	retryable        func(error) bool
	commitError      func(error) error
	pipeline         Pipeline
	// channel is where the store sends its notifications. It sends none if it is empty.
	channel string
	checked bool
}

// Option changes a Store under construction.
type Option func(*config)

// WithTable names the table of the records, such as "payments_onlyonce", or with its schema "billing.onlyonce_records". The
// default is DefaultTable. A second table with the same name and the suffix "_schema" holds the version. Names are quoted, and so
// they are case-sensitive in PostgreSQL; they consist of letters, digits and underscores. Stores on different tables do not see
// each other's records. Name the schema in PostgreSQL, or the database in MySQL, where processes have a search_path or a current database
// of their own: without it each uses the table that it finds first.
func WithTable(name string) Option { return func(c *config) { c.name = name } }

// WithTimeout bounds one operation with everything that it tries again. It is at least a millisecond; the default is DefaultTimeout.
// The context of an operation can shorten it.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithRetryable says after which errors an operation is tried again at once because the database has undone it: serialization
// failures, deadlocks and the like. It replaces the recognition of SQLSTATE 40001 and 40P01, of MySQL's 1205, 1206 and 1213, of
// MariaDB's 1020 and of SQLite's BUSY and LOCKED, for drivers whose errors do not have these codes. The function is never called without an
// error. Nil means that recognition.
func WithRetryable(retryable func(error) bool) Option {
	return func(c *config) { c.retryable = retryable }
}

// WithSweep sets how often Run looks for records whose retention is over, at least a millisecond, and how many it deletes in one
// statement, at least 1. The defaults are DefaultSweepInterval and DefaultSweepBatch. While there are more, Run does not wait.
func WithSweep(every time.Duration, batch int) Option {
	return func(c *config) { c.sweepEvery, c.sweepBatch = every, batch }
}

// WithUnknownRetention removes records that nobody settles: d after they were last written, when their lease has ended and their owners
// cannot be alive any more, [Store.Run] deletes them. The next call with such a key runs, so give more time than clients go on retrying
// and people need to settle a record. Zero is the default: unsettled records stay for ever, and [Store.ListUnknown] finds them.
func WithUnknownRetention(d time.Duration) Option { return func(c *config) { c.unknownRetention = d } }

// WithCommitError says what a handler's error is where the database refuses at COMMIT what the handler wrote in a single transaction,
// such as for a deferred constraint. It gets the driver's error, and returns the error that the caller gets: one with a status, or with a
// mark. Nil from it, and a nil function, mean the driver's error. The transaction was rolled back then.
func WithCommitError(of func(error) error) Option { return func(c *config) { c.commitError = of } }

// WithIsolation sets the isolation level of single transactions. The default is the database's. At REPEATABLE READ and SERIALIZABLE
// more of them conflict, and are run again. SQLite has one level, SERIALIZABLE, and refuses others.
func WithIsolation(level sql.IsolationLevel) Option { return func(c *config) { c.isolation = level } }

// WithMaxTransactions bounds how many single transactions are open at a time; others wait for room, and their calls are refused
// with store.ErrFull where that takes longer than a duplicate would wait. The default is half of what the pool may open when New
// is called (see [sql.DB.SetMaxOpenConns]), at least one, so that a handler that takes a second connection from the pool finds one;
// there is no bound where the pool has none.
//
// The engine refuses a keyed call that a handler makes inside its single transaction: its claim could wait for room, or for SQLite's turn
// to write, which that very handler holds.
func WithMaxTransactions(n int) Option { return func(c *config) { c.most = n } }

// WithoutCheck leaves out the Check at construction, so that a service can start while the database is down. New cannot find the schema of
// the table then, and connections might use different tables: except in SQLite, WithTable must name the schema, or New fails.
func WithoutCheck() Option { return func(c *config) { c.checked = false } }

// shortest is the shortest time that options may give.
const shortest = time.Millisecond

func configure(d Dialect, opts []Option) (config, error) {
	cfg := config{
		observed: report.To{Refuses: d.isRefused},
		name:     DefaultTable, timeout: DefaultTimeout, sweepEvery: DefaultSweepInterval, sweepBatch: DefaultSweepBatch, checked: true,
	}

	for _, opt := range opts {
		opt(&cfg)
	}

	var errs []error

	cfg.table, errs = parse(cfg.name, d.validate())

	if !cfg.checked && cfg.table.schema == "" && d != SQLite {
		errs = append(errs, fmt.Errorf("sqlstore: WithoutCheck: New does not look for the schema of table %s, and two connections may have "+
			"different ones, so that a key could run twice: name the schema, as in WithTable(%q)", cfg.name, "billing."+cfg.name))
	}

	if cfg.timeout < shortest {
		errs = append(errs, fmt.Errorf("sqlstore: WithTimeout(%v): give at least %v", cfg.timeout, shortest))
	}

	if cfg.sweepEvery < shortest || cfg.sweepBatch < 1 {
		errs = append(errs, fmt.Errorf("sqlstore: WithSweep(%v, %d): give at least %v, and at least 1",
			cfg.sweepEvery, cfg.sweepBatch, shortest))
	}

	if cfg.unknownRetention < 0 {
		errs = append(errs, fmt.Errorf("sqlstore: WithUnknownRetention(%v): give a positive time, or 0 for records that stay for ever",
			cfg.unknownRetention))
	}

	if cfg.most < 0 {
		errs = append(errs, fmt.Errorf("sqlstore: WithMaxTransactions(%d): give at least 1, or 0 for the default", cfg.most))
	}

	if levels := isolationLevels(d); levels != nil && !slices.Contains(levels, cfg.isolation) {
		errs = append(errs, fmt.Errorf("sqlstore: WithIsolation(%v): %v has the levels %v: give one of them", cfg.isolation, d, levels))
	}

	return cfg, errors.Join(append(errs, cfg.pipelines(d))...)
}

// isolationLevels are the isolation levels of a dialect's transactions.
func isolationLevels(d Dialect) []sql.IsolationLevel {
	switch d {
	case PostgreSQL, MySQL:
		return []sql.IsolationLevel{
			sql.LevelDefault, sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable,
		}
	case SQLite:
		return []sql.IsolationLevel{sql.LevelDefault, sql.LevelSerializable}
	default:
		return nil
	}
}

func parse(name string, err error) (table, []error) {
	t, tableErr := parseTable(name)

	return t, []error{err, tableErr}
}

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
	// channel is where the store sends notifications. It sends none if the channel is empty.
	channel string
	checked bool
}

// Option configures a Store.
type Option func(*config)

// WithTable sets the name of the table, such as "payments_onlyonce", or with its schema "billing.onlyonce_records". The default is
// DefaultTable. A name has 1 to 48 ASCII letters, digits and underscores, and does not begin with a digit: otherwise New returns an error.
// Names are quoted, so they are case-sensitive in PostgreSQL. A second table, with the suffix "_schema", has the version. Stores on
// different tables do not share records.
//
// Include the schema in PostgreSQL, or the database in MySQL, if processes have different search paths or current databases. Otherwise each
// process uses the table that it finds first.
func WithTable(name string) Option { return func(c *config) { c.name = name } }

// WithTimeout bounds one operation, including its tries. The default is DefaultTimeout. The deadline of a context may be earlier. For less
// than a millisecond, New returns an error.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithRetryable sets which errors mean that the database has undone an operation, such as serialization failures and deadlocks. The store
// tries such an operation again. The function replaces the default, for drivers whose errors lack these codes: SQLSTATE 40001 and 40P01,
// 1205, 1206 and 1213 of MySQL, 1020 of MariaDB, BUSY and LOCKED of SQLite. It is never called with a nil error. Nil means the default.
func WithRetryable(retryable func(error) bool) Option {
	return func(c *config) { c.retryable = retryable }
}

// WithSweep sets how often Run deletes expired records, at least a millisecond, and how many in one statement, at least 1. The defaults are
// DefaultSweepInterval and DefaultSweepBatch. For smaller values, New returns an error. As long as there are more, Run does not wait.
func WithSweep(every time.Duration, batch int) Option {
	return func(c *config) { c.sweepEvery, c.sweepBatch = every, batch }
}

// WithUnknownRetention limits the life of unsettled records. [Store.Run] deletes a record once d has passed since its last write, its lease
// has ended, and its owners cannot be alive. The next call with the key then runs. So d must exceed the time for which clients retry, and
// the time that people need to settle a record. The default is 0: unsettled records stay for ever, and [Store.ListUnknown] finds them. For
// a negative d, New returns an error.
func WithUnknownRetention(d time.Duration) Option { return func(c *config) { c.unknownRetention = d } }

// WithCommitError sets the error that callers get if the database refuses to commit the handler's writes, such as for a deferred
// constraint. The transaction was then rolled back. The function gets the driver's error, and may return one with a status or a mark. A nil
// function, and a nil result, mean the driver's error itself.
func WithCommitError(of func(error) error) Option { return func(c *config) { c.commitError = of } }

// WithIsolation sets the isolation level of single transactions. The default is the database's. At REPEATABLE READ and SERIALIZABLE more
// transactions conflict and run again. SQLite only has SERIALIZABLE. For a level that the dialect lacks, New returns an error.
func WithIsolation(level sql.IsolationLevel) Option { return func(c *config) { c.isolation = level } }

// WithMaxTransactions bounds the number of open single transactions. Further calls wait for room as long as a duplicate would wait, and are
// then refused with store.ErrFull. The default, also for 0, is half of [sql.DB.SetMaxOpenConns] at the time of New, at least 1. So a
// handler that takes a second connection from the pool finds one. Without a limit of the pool there is no bound. For a negative n, New
// returns an error.
//
// The engine refuses a keyed call that a handler makes inside its single transaction. Its claim could wait for room, or for SQLite's turn
// to write, which the handler itself holds.
func WithMaxTransactions(n int) Option { return func(c *config) { c.most = n } }

// WithoutCheck leaves out the Check of New, so that a service can start while the database is down. New then does not find the schema of
// the table, and connections might use different tables. So except in SQLite, WithTable must include the schema, or New returns an error.
func WithoutCheck() Option { return func(c *config) { c.checked = false } }

// shortest is the least time of options.
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
		errs = append(errs, fmt.Errorf("sqlstore: WithoutCheck: New does not find the schema of table %s, and two connections may have "+
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

// isolationLevels returns the isolation levels of a dialect.
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

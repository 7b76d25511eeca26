package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const (
	// longestInterval is the longest interval that jitter does not overflow: 146 years.
	longestInterval = math.MaxInt64 / 2
	// mostPause is the longest pause of Run after failures, unless the interval of WithSweep is longer.
	mostPause = time.Minute
	// hopelessTries and hopelessTime are how often in a row, and for how long, sweeps must fail with permanent errors before Run returns. A
	// table can be missing for a moment, during a restart or a change of the schema.
	hopelessTries = 3
	hopelessTime  = 5 * time.Minute
)

// Run deletes expired records, and unsettled records as set by [WithUnknownRetention], until ctx ends. Then it returns nil. One process
// must call Run, and any number may, without affecting each other. Without Run everything works, and the table grows.
//
// A Completed or Released record is deleted after its expiry on the database's clock. A Running or Unknown record is deleted only after the
// time of WithUnknownRetention, and a damaged record never.
//
// Run survives a database that is away, locked or busy. It tries again after the interval of [WithSweep], and then after twice as long each
// time, up to a minute. The observer of [WithObserver] gets an event for each sweep. Without an observer, Run logs to [slog.Default]: each
// failure at level warn, and the first success after failures at level info.
//
// Run returns an error only in these cases:
//   - The database handle is closed.
//   - Every sweep has failed for five minutes, and at least three times, with a permanent error: a missing table, a missing right, or a
//     setting that forbids the statement.
func (s *Store) Run(ctx context.Context) error { return s.run(ctx, failures.last) }

// run sweeps until ctx ends, or until last returns true.
func (s *Store) run(ctx context.Context, last func(failures, time.Time) bool) error {
	var failed failures

	for {
		n, err := s.Sweep(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the caller has ended it
		}

		before, now := failed, time.Now()
		failed = failed.after(err, s.dialect.hopeless(err), now)

		if closed(err) || last(failed, now) {
			return fmt.Errorf("sqlstore: sweep: expired records are no longer deleted: correct the cause, and call Run again: %w", err)
		}

		retry := s.pause(n, failed.count)
		s.observed.Log(ctx, "sweeping", max(before.count, failed.count), err, "table", s.table.String(), "retry", retry)

		if !sleep(ctx, retry) {
			return nil
		}
	}
}

// failures counts sweeps that failed in a row.
type failures struct {
	count int
	// hopeless is how many of them failed last with permanent errors, and since is the time of the first of these.
	hopeless int
	since    time.Time
}

// after returns the failures after another sweep.
func (f failures) after(err error, hopeless bool, now time.Time) failures {
	switch {
	case err == nil:
		return failures{}
	case !hopeless:
		return failures{count: f.count + 1}
	case f.hopeless == 0:
		f.since = now
	}

	return failures{f.count + 1, f.hopeless + 1, f.since}
}

// last reports whether another sweep is pointless.
func (f failures) last(now time.Time) bool {
	return f.hopeless >= hopelessTries && now.Sub(f.since) >= hopelessTime
}

// pause returns Run's pause after a sweep. It is zero if there may be more to delete.
func (c *config) pause(deleted, failures int) time.Duration {
	if failures == 0 && deleted >= c.sweepBatch {
		return 0
	}

	return jittered(backedOff(c.sweepEvery, failures))
}

// backedOff returns an interval, doubled for each failure after the first, up to mostPause.
func backedOff(every time.Duration, failures int) time.Duration {
	every = min(every, longestInterval)
	if failures < 2 || every >= mostPause {
		return every
	}

	const doublings = 16 // a millisecond doubled this often exceeds a minute

	return min(every<<min(failures-1, doublings), mostPause)
}

// jittered returns a random time between half and one and a half of d.
func jittered(d time.Duration) time.Duration {
	return d/2 + rand.N(d) //nolint:gosec // jitter needs no secrecy
}

// sleep waits for d. It returns false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// hopeless reports whether no other try of the statement can succeed.
func (d Dialect) hopeless(err error) bool {
	if err == nil {
		return false
	}

	switch d {
	case PostgreSQL:
		state := sqlState(err)

		// Rights, names and syntax; unsupported features; a missing schema.
		return strings.HasPrefix(state, "42") || strings.HasPrefix(state, "0A") || state == "3F000"
	case MySQL:
		// Names, syntax, rights, sql_safe_updates, and a binary log that forbids the statement.
		return slices.Contains([]int64{1054, 1064, 1142, 1143, 1146, 1175, 1665}, mysqlNumber(err))
	case SQLite:
		code := sqliteCode(err)

		return code == sqliteError || code == sqliteReadOnly
	default:
		return true
	}
}

// sqliteReadOnly is the code for a file that must not be written.
const sqliteReadOnly = 8

// closed reports whether the database handle is closed. database/sql has no sentinel for that error.
func closed(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err.Error() == "sql: database is closed" {
			return true
		}
	}

	return false
}

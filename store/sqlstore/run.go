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
	// longestInterval is the longest that jitter does not take beyond the longest duration. It is 146 years.
	longestInterval = math.MaxInt64 / 2
	// mostPause is how long Run waits at most between two tries of what fails, unless WithSweep says more.
	mostPause = time.Minute
	// hopelessTries and hopelessTime are how often in a row, and for how long, sweeps have to fail with errors that do not go away by
	// themselves. A table can be missing for a moment, while a server restarts or somebody changes the schema.
	hopelessTries = 3
	hopelessTime  = 5 * time.Minute
)

// Run deletes records whose retention is over, and unsettled ones as [WithUnknownRetention] says, until ctx ends, which is no error.
// One process needs to do so; any number may, and they leave each other's records alone. Without it everything works, and the table grows.
//
// A completed or released record is deleted when it has expired on the database's clock, a running or unknown one only after the time of
// WithUnknownRetention, and a damaged one never.
//
// A database that is away, locked or busy does not end Run. It tries again after the interval of [WithSweep], and then after twice as long
// each time, up to a minute. The observer of [WithObserver] sees each sweep. Without an observer, Run logs each failure to [slog.Default]
// at warn level, and the first success after failures at info level.
//
// Run returns an error only for what does not go away by itself: at once if the handle is closed; and if a missing table, a missing right,
// or a setting of the server that forbids the statement has failed every sweep for five minutes, and three sweeps at least.
func (s *Store) Run(ctx context.Context) error { return s.run(ctx, failures.last) }

// run sweeps until ctx ends, or until failures are the last.
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
			return fmt.Errorf("sqlstore: expired records are not deleted any more: give the store what it lacks and start Run again: %w", err)
		}

		retry := s.pause(n, failed.count)
		s.observed.Log(ctx, "sweeping", max(before.count, failed.count), err, "table", s.table.String(), "retry", retry)

		if !sleep(ctx, retry) {
			return nil
		}
	}
}

// failures are sweeps that have failed in a row.
type failures struct {
	count int
	// hopeless is how many of them, up to the last one, do not go away by themselves, and since is when the first of these has failed.
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

// last reports whether there is no use in another sweep.
func (f failures) last(now time.Time) bool {
	return f.hopeless >= hopelessTries && now.Sub(f.since) >= hopelessTime
}

// pause is how long Run waits after a sweep. Where there is more to delete, the others may have their turn, and that is all there is.
func (c *config) pause(deleted, failures int) time.Duration {
	if failures == 0 && deleted >= c.sweepBatch {
		return 0
	}

	return jittered(backedOff(c.sweepEvery, failures))
}

// backedOff is an interval, doubled for each failure after the first up to mostPause.
func backedOff(every time.Duration, failures int) time.Duration {
	every = min(every, longestInterval)
	if failures < 2 || every >= mostPause {
		return every
	}

	const doublings = 16 // of a millisecond are more than a minute

	return min(every<<min(failures-1, doublings), mostPause)
}

// jittered is a time between half and one and a half of another.
func jittered(d time.Duration) time.Duration {
	return d/2 + rand.N(d) //nolint:gosec // jitter needs no secrecy
}

// sleep waits, and reports whether it has: not if ctx has ended before.
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

// hopeless recognises errors of a statement that no other try gets over.
func (d Dialect) hopeless(err error) bool {
	if err == nil {
		return false
	}

	switch d {
	case PostgreSQL:
		state := sqlState(err)

		// Rights, names and syntax; what the server has not; a schema that is missing.
		return strings.HasPrefix(state, "42") || strings.HasPrefix(state, "0A") || state == "3F000"
	case MySQL:
		// Names, syntax, rights, sql_safe_updates, and a binary log that cannot have the statement.
		return slices.Contains([]int64{1054, 1064, 1142, 1143, 1146, 1175, 1665}, mysqlNumber(err))
	case SQLite:
		code := sqliteCode(err)

		return code == sqliteError || code == sqliteReadOnly
	default:
		return true
	}
}

// sqliteReadOnly is the code of a file that may not be written.
const sqliteReadOnly = 8

// closed recognises a handle of database/sql that is closed, which has no error of its own that could be compared.
func closed(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err.Error() == "sql: database is closed" {
			return true
		}
	}

	return false
}

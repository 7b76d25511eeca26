package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// hopelessTries is how often in a row a sweep has to fail with an error that does not go away by itself.
	hopelessTries = 3
)

// RunEvent is a report of [Store.Run] about one of its steps.
type RunEvent struct {
	// Step is what Run was doing.
	Step RunStep
	// Deleted is how many records a sweep has deleted.
	Deleted int
	// Err is why the step has failed, nil if it works.
	Err error
	// Failures counts the failures in a row: those up to this one, or those that this success ends.
	Failures int
	// Retry is how long Run waits before it tries the step again. Zero after a failure means that Run has given the step up.
	Retry time.Duration
}

// RunStep is what Run does.
type RunStep uint8

const (
	// Sweeping deletes a batch of records. It is reported each time.
	Sweeping RunStep = iota + 1
	// Listening receives notifications. It is reported when it begins, and when the connection is lost.
	Listening
)

// String returns "sweeping" or "listening".
func (s RunStep) String() string {
	switch s {
	case Sweeping:
		return "sweeping"
	case Listening:
		return "listening"
	default:
		return fmt.Sprintf("RunStep(%d)", uint8(s))
	}
}

// WithRunObserver calls a function for each step of Run, one at a time for each step. The default logs failures to [slog.Default] at warn
// level, and the first success after them at info level. Nil means the default.
func WithRunObserver(observe func(RunEvent)) Option {
	return func(c *config) { c.observeRun = observe }
}

// Run deletes records whose retention is over, and unsettled ones as [WithUnknownRetention] says, until ctx ends, which is no error.
// One process needs to do so; any number may, and they leave each other's records alone. Without it everything works, and the table grows.
//
// A completed or released record is deleted when it has expired on the database's clock, a running or unknown one only after the time of
// WithUnknownRetention, and a damaged one never.
//
// A database that is away, locked or busy does not end Run. It tries again after the interval of [WithSweep], and then after twice as long
// each time, up to a minute, and reports each failure to the function of [WithRunObserver]. Run returns an error only for what does not
// go away by itself, three times in a row: a table or a right that is missing, a setting of the server that forbids the statement, a
// handle that is closed.
func (s *Store) Run(ctx context.Context) error {
	failures, hopeless := 0, 0

	for {
		n, err := s.Sweep(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to end
		}

		event := RunEvent{Step: Sweeping, Deleted: n, Err: err, Failures: failures}

		switch {
		case err == nil:
			failures, hopeless = 0, 0
		case s.dialect.hopeless(err):
			failures, hopeless = failures+1, hopeless+1
			event.Failures = failures
		default:
			failures, hopeless = failures+1, 0
			event.Failures = failures
		}

		if hopeless == hopelessTries {
			s.report(event)

			return fmt.Errorf("sqlstore: expired records are not deleted any more: give the store what it lacks and start Run again: %w", err)
		}

		event.Retry = s.pause(n, failures)
		s.report(event)

		if !sleep(ctx, event.Retry) {
			return nil
		}
	}
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

// report tells the observer about a step.
func (c *config) report(event RunEvent) {
	if c.observeRun != nil {
		c.observeRun(event)

		return
	}

	switch {
	case event.Err != nil:
		slog.Warn("onlyonce: "+event.Step.String()+" failed",
			"table", c.table.String(), "error", event.Err, "failures", event.Failures, "retry", event.Retry)
	case event.Failures > 0:
		slog.Info("onlyonce: "+event.Step.String()+" works again", "table", c.table.String())
	}
}

// hopeless recognises errors of a statement that no other try gets over.
func (d Dialect) hopeless(err error) bool {
	if closed(err) {
		return true
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

package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// sweepTimeout bounds the deletion of one batch.
	sweepTimeout = 30 * time.Second
	// sweepAgain is how often a sweep covers all due records, not only those that became due since the last sweep.
	sweepAgain = time.Hour
	// sweepMargin is how far a sweep goes back before the last one, because transactions do not commit in the order in which they begin.
	sweepMargin = time.Minute
)

// Sweep deletes one batch of expired records and one batch of unsettled records, as Run does, and returns their number, also with an error.
// It takes at most 30 s. It is for programs with their own schedule. If it returns the batch of WithSweep or more, call it again: more may
// be due. If it returns less, two kinds of records may remain. A later sweep deletes those that others have locked. In PostgreSQL, only a
// full sweep finds a few others.
//
// In PostgreSQL a deleted record stays in the table and its indexes as long as any transaction may see it. So that sweeps need not read the
// deleted records again and again, a sweep begins where the last one ended. It misses records that were locked, or not yet committed, for
// more than a minute after they were due. A full sweep finds them: the first sweep of a Store, and then one per hour.
func (s *Store) Sweep(ctx context.Context) (n int, err error) {
	began := s.observed.Clock()
	defer func() { s.observed.Swept(ctx, began, n, err) }()

	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()

	n, err = s.sweepWith(ctx, s.sweeper(s.swept, 0, s.sql.sweep, s.sweepBatch))
	if err != nil || s.unknownRetention == 0 {
		return n, err
	}

	args := []any{span(s.unknownRetention), s.sweepBatch}
	if s.dialect == MySQL { // its arguments are not numbered
		args = append(args[:1], args...)
	}

	unsettled, err := s.sweepWith(ctx, s.sweeper(s.sweptUnsettled, s.unknownRetention, s.sql.sweepUnsettled, args...))

	return n + unsettled, err
}

// sweeper returns the function that deletes a batch with a statement. Due is how long a record has been due when the statement deletes it.
func (s *Store) sweeper(from *cursor, due time.Duration, query string, args ...any) func(ctx context.Context) (int, error) {
	switch s.dialect {
	case PostgreSQL:
		return func(ctx context.Context) (int, error) { return s.deleteFrom(ctx, from, due, query, args) }
	case MySQL:
		return func(ctx context.Context) (int, error) { return s.deleteReadCommitted(ctx, query, args) }
	case SQLite:
		return func(ctx context.Context) (int, error) { return deleteBatch(ctx, s.pool(), query, args) }
	default:
		return func(context.Context) (int, error) { return 0, s.dialect.validate() }
	}
}

// sweepWith deletes a batch.
func (s *Store) sweepWith(ctx context.Context, deletes func(ctx context.Context) (int, error)) (int, error) {
	for try := 0; ; try++ {
		n, err := deletes(ctx)
		if err == nil {
			return n, nil
		}

		if !s.undone(err) || !pause(ctx, try) {
			s.refresh(ctx, err) // the next sweep may reach a server that accepts writes

			return 0, fmt.Errorf("sqlstore: sweep: %w", err)
		}

		s.resent(ctx, store.OperationSweep, err)
	}
}

// deleteFrom deletes the batch after the position of the cursor.
func (s *Store) deleteFrom(ctx context.Context, from *cursor, due time.Duration, query string, args []any) (int, error) {
	var n, last, now integer

	if _, err := s.pool().query(ctx, query, append(args, from.start()), &n, &last, &now); err != nil {
		return 0, err // wrapped by sweepWith
	}

	if int(n) < s.sweepBatch {
		last = now - integer(span(due, sweepMargin))
	}

	from.move(int64(last))

	return int(n), nil
}

// deleteReadCommitted deletes a batch in MySQL. In its default isolation a deletion also locks the gaps between records, where others
// insert.
func (s *Store) deleteReadCommitted(ctx context.Context, query string, args []any) (int, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return 0, err
	}
	defer rollBack(ctx, tx) // without effect after a commit

	n, err := deleteBatch(ctx, within(tx), query, args)
	if err != nil {
		return 0, err
	}

	return n, waitForEnd(ctx, tx.Commit)
}

func deleteBatch(ctx context.Context, at access, query string, args []any) (int, error) {
	done, err := at.writing(ctx)
	if err != nil {
		return 0, err
	}
	defer done()

	res, err := at.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err // wrapped by sweepWith
	}

	n, err := res.RowsAffected()

	return int(n), err
}

// cursor is the position of the sweeps in the order of the records' times. It is safe for concurrent use.
type cursor struct {
	mu    sync.Mutex
	from  int64     // everything due before was deleted, except what a full sweep finds
	again time.Time // when the next full sweep is due
}

// start returns where a sweep begins.
func (c *cursor) start() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()

	if now := time.Now(); !now.Before(c.again) {
		c.from, c.again = math.MinInt64, now.Add(sweepAgain)
	}

	return c.from
}

// move sets how far a sweep has come.
func (c *cursor) move(to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.from = to
}

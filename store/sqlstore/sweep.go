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
	// sweepAgain is how often a sweep looks at everything that is due, and not only at what has become due since the last one.
	sweepAgain = time.Hour
	// sweepMargin is how long before the last sweep the next one begins: transactions commit in another order than they begin.
	sweepMargin = time.Minute
)

// Sweep deletes one batch of records whose retention is over, and one of unsettled records, as Run does, and returns how many it was. It
// is for programs that call it at times of their own. Call it again if it returns the batch of WithSweep or more: more may be due. If it
// returns less, what is left for now are records that somebody else has locked, which a later sweep deletes, and in PostgreSQL the few
// that only a sweep of everything finds.
//
// In PostgreSQL a deleted record stays in the table and its indexes as long as any transaction may see it. So that a long transaction does
// not make each sweep read all that the sweeps before have deleted, a sweep begins where the last one has ended. What that misses is found
// by a sweep of everything: the first of a Store, and one an hour. It misses records that were locked, or not yet committed, for longer
// than a minute after they were due.
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
	if s.dialect == MySQL { // whose arguments are not numbered
		args = append(args[:1], args...)
	}

	unsettled, err := s.sweepWith(ctx, s.sweeper(s.sweptUnsettled, s.unknownRetention, s.sql.sweepUnsettled, args...))

	return n + unsettled, err
}

// sweeper is the deletion of a batch by a statement, which deletes what is due for a time.
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
			s.refresh(ctx, err) // the next sweep may have a server that writes

			return 0, fmt.Errorf("sqlstore: sweep: %w", err)
		}

		s.resent(ctx, store.OperationSweep, err)
	}
}

// deleteFrom deletes the batch that follows what was deleted before.
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

// deleteReadCommitted deletes a batch of MySQL, in whose default isolation a deletion locks the gaps between records as well, where others
// want to insert.
func (s *Store) deleteReadCommitted(ctx context.Context, query string, args []any) (int, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return 0, err
	}
	defer rollBack(ctx, tx) // fails where it has committed

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

// cursor is how far sweeps have come, in an order of the records by a time of theirs. It is used by any number of goroutines.
type cursor struct {
	mu    sync.Mutex
	from  int64     // what is due before that is deleted, but for what the sweep of everything finds
	again time.Time // when to sweep everything
}

// start is where a sweep begins.
func (c *cursor) start() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()

	if now := time.Now(); !now.Before(c.again) {
		c.from, c.again = math.MinInt64, now.Add(sweepAgain)
	}

	return c.from
}

// move is called with how far a sweep has come.
func (c *cursor) move(to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.from = to
}

package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

const (
	// sweepTimeout bounds the deletion of one batch.
	sweepTimeout = 30 * time.Second
	// sweepFailures is how many batches in a row may fail before Run gives up.
	sweepFailures = 10
	// longestInterval is the longest that jitter does not take beyond the longest duration. It is 146 years.
	longestInterval = math.MaxInt64 / 2
)

// Run deletes records whose retention is over, and unsettled ones as [WithUnknownRetention] says, until ctx ends, which is no error.
// One process needs to do so; any number may, and they leave each other's records alone. Without it everything works, and the table grows.
//
// A completed or released record is deleted when it has expired on the database's clock, a running or unknown one only after the time of
// WithUnknownRetention, and a damaged one never. A batch that fails is tried again at the next interval; the error of the tenth failure
// in a row is returned.
func (s *Store) Run(ctx context.Context) error {
	for failures := 0; ; {
		n, err := s.Sweep(ctx)

		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was asked to end
		case err == nil:
			failures = 0
		default:
			failures++
			if failures == sweepFailures {
				return err
			}
		}

		// There is more: the others may have their turn, and that is all the pause there is.
		if err == nil && n >= s.sweepBatch {
			continue
		}

		every := min(s.sweepEvery, longestInterval)
		timer := time.NewTimer(every/2 + rand.N(every)) //nolint:gosec // jitter needs no secrecy

		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()

			return nil
		}
	}
}

// Sweep deletes one batch of records whose retention is over, and one of unsettled records, as Run does, and returns how many it was. It
// is for programs that call it at times of their own. Where it returns less than the batch of WithSweep, nothing is left for now.
func (s *Store) Sweep(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()

	n, err = s.sweepWith(ctx, s.sql.sweep, s.sweepBatch)
	if err != nil || s.unknownRetention == 0 {
		return n, err
	}

	args := []any{span(s.unknownRetention), s.sweepBatch}
	if s.dialect == MySQL { // whose arguments are not numbered
		args = append(args[:1], args...)
	}

	unsettled, err := s.sweepWith(ctx, s.sql.sweepUnsettled, args...)

	return n + unsettled, err
}

// sweepWith deletes the batch of a statement.
func (s *Store) sweepWith(ctx context.Context, query string, args ...any) (int, error) {
	for try := 0; ; try++ {
		n, err := s.sweepOnce(ctx, query, args)
		if err == nil {
			return n, nil
		}

		if !s.undone(err) || !pause(ctx, try) {
			s.refresh(ctx, err) // the next sweep may have a server that writes

			return 0, fmt.Errorf("sqlstore: sweep: %w", err)
		}
	}
}

func (s *Store) sweepOnce(ctx context.Context, query string, args []any) (int, error) {
	at := s.pool()

	// In MySQL's default isolation a deletion locks the gaps between records as well, where others want to insert.
	if s.dialect == MySQL {
		tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return 0, err
		}
		defer tx.Rollback() //nolint:errcheck // it has been committed, or there is nothing to be done

		n, err := s.deleteBatch(ctx, within(tx), query, args)
		if err != nil {
			return 0, err
		}

		return n, tx.Commit()
	}

	return s.deleteBatch(ctx, at, query, args)
}

func (s *Store) deleteBatch(ctx context.Context, at access, query string, args []any) (int, error) {
	done, err := at.writing(ctx)
	if err != nil {
		return 0, err
	}
	defer done()

	res, err := at.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err // wrapped by Sweep
	}

	n, err := res.RowsAffected()

	return int(n), err
}

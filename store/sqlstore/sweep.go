package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// sweepTimeout bounds the deletion of one batch.
	sweepTimeout = 30 * time.Second
	// sweepFailures is how many batches in a row may fail before Run gives up.
	sweepFailures = 10
)

// Run deletes records whose retention is over, until ctx ends, which is no error. One process needs to do so; any number may,
// and they leave each other's records alone. Without it everything works, and the table grows.
//
// Only records are deleted that are completed or released and have expired on the database's clock: never what is running or
// unknown, nor what is damaged. A batch that fails is tried again at the next interval; the error of the tenth failure in
// a row is returned.
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
		if err == nil && n == s.sweepBatch {
			continue
		}

		timer := time.NewTimer(s.sweepEvery/2 + rand.N(s.sweepEvery)) //nolint:gosec // jitter needs no secrecy

		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()

			return nil
		}
	}
}

// Sweep deletes one batch of records whose retention is over, as Run does, and returns how many it was. It is for programs
// that call it at times of their own. Where it returns less than the batch of WithSweep, nothing is left for now.
func (s *Store) Sweep(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()

	for try := 0; ; try++ {
		n, err = s.sweepBatchOnce(ctx)
		if err == nil {
			return n, nil
		}

		if !s.undone(err) || !pause(ctx, try) {
			return 0, fmt.Errorf("sqlstore: sweep: %w", err)
		}
	}
}

func (s *Store) sweepBatchOnce(ctx context.Context) (int, error) {
	at := s.pool()

	// In MySQL's default isolation a deletion locks the gaps between records as well, where others want to insert.
	if s.dialect == MySQL {
		tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return 0, err
		}
		defer tx.Rollback() //nolint:errcheck // it has been committed, or there is nothing to be done

		n, err := s.deleteExpired(ctx, within(tx))
		if err != nil {
			return 0, err
		}

		return n, tx.Commit()
	}

	return s.deleteExpired(ctx, at)
}

func (s *Store) deleteExpired(ctx context.Context, at access) (int, error) {
	done, err := at.writing(ctx)
	if err != nil {
		return 0, err
	}
	defer done()

	res, err := at.ExecContext(ctx, s.sql.sweep, s.sweepBatch)
	if err != nil {
		return 0, err // wrapped by Sweep
	}

	n, err := res.RowsAffected()

	return int(n), err
}

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// savepoint is where a handler's writes begin.
const savepoint = "onlyonce"

// Begin implements [store.Transactional]: the claim of a single transaction.
//
// PostgreSQL and MariaDB wait for another transaction of the same key by themselves, bounded by lock_timeout and by
// innodb_lock_wait_timeout, in whole seconds, which hold for the claim alone. SQLite has one writer: transactions of any key wait
// for each other, bounded by ctx.
func (s *Store) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	if err := bounded(&op); err != nil {
		return store.Result{}, nil, err
	}

	until := time.Now().Add(max(wait, 0))

	ctx, done := s.heedingDeadline(ctx)
	defer done()

	lost := 0

	for try := 0; ; try++ {
		res, tx, err := s.beginOnce(ctx, &op, until)

		switch {
		case err == nil && tx == nil:
			return res, nil, nil
		case err == nil:
			return res, tx, nil
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer), errors.Is(err, store.ErrFull):
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w", err)
		case s.dialect.blocked(err):
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w: %w", store.ErrBusy, err)
		case full(err):
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w: %w", store.ErrFull, err)
		case s.undone(err):
		case reported(err) && !goingDown(err) || lost == resends:
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w", err)
		default:
			lost++
		}

		if !pause(ctx, try) {
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w", err)
		}
	}
}

// heedingDeadline gives a context whose deadline comes without a timer one that ends then.
func (s *Store) heedingDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline)
	}

	return context.WithTimeout(ctx, s.timeout)
}

// beginOnce opens a transaction and claims in it, once. The transaction is nil where the claim has not won.
func (s *Store) beginOnce(ctx context.Context, op *store.Claim, until time.Time) (res store.Result, tx *transaction, err error) {
	// A look without a transaction, where claims are not so cheap.
	if s.dialect != PostgreSQL {
		res, err = s.lookup(ctx, s.pool(), &op.Key)
		if err != nil || !wins(op, &res) {
			return res, nil, err
		}
	}

	leave, err := s.enter(ctx)
	if err != nil {
		return store.Result{}, nil, err
	}

	tx = &transaction{store: s, claim: *op, leave: leave}

	if err := tx.open(ctx); err != nil {
		tx.leave()

		return store.Result{}, nil, err
	}

	stop := context.AfterFunc(ctx, tx.cancel)

	res, err = s.claimWithin(ctx, tx.tx, op, until)
	if err == nil && res.Applied {
		_, err = tx.tx.ExecContext(ctx, "SAVEPOINT "+savepoint)
	}

	switch inTime := stop(); {
	case err == nil && !inTime:
		err = context.DeadlineExceeded
	case err == nil && res.Applied:
		return res, tx, nil
	}

	tx.Rollback()

	return res, nil, err
}

// wins reports whether a claim would win on the record as it was read.
func wins(op *store.Claim, seen *store.Result) bool { return op.Apply(seen.Record, seen.Now).Applied }

// enter waits for room for a transaction, and in SQLite for the turn to write, and returns what gives both back.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	var taken []chan struct{}

	leave = func() {
		for _, room := range taken {
			<-room
		}
	}

	for _, room := range []chan struct{}{s.room, s.turn} {
		if room == nil {
			continue
		}

		select {
		case room <- struct{}{}:
			taken = append(taken, room)
		case <-ctx.Done():
			leave()

			return nil, fmt.Errorf("%w: %d transactions are open: %w", store.ErrFull, cap(room), ctx.Err())
		}
	}

	return leave, nil
}

// claimWithin makes a claim in a transaction, waiting for other transactions of the key until then at most.
func (s *Store) claimWithin(ctx context.Context, tx *sql.Tx, op *store.Claim, until time.Time) (store.Result, error) {
	wait := max(time.Until(until), time.Millisecond)

	switch s.dialect {
	case PostgreSQL:
		return s.claimPostgreSQL(ctx, tx, op, wait)
	case MySQL:
		return s.claimMySQL(ctx, tx, op, wait)
	case SQLite:
		// A transaction that begins with a read could not write any more once somebody else has.
		if _, err := tx.ExecContext(ctx, s.sql.lock); err != nil {
			return store.Result{}, err
		}

		return s.change(ctx, within(tx), &op.Key, op, nil)
	default:
		return store.Result{}, s.dialect.validate()
	}
}

func (s *Store) claimPostgreSQL(ctx context.Context, tx *sql.Tx, op *store.Claim, wait time.Duration) (store.Result, error) {
	bound := fmt.Sprintf("%dms", max(wait.Milliseconds(), 1))

	if op.Fence == 0 {
		if res, done, err := s.claimFirstWithin(ctx, tx, op, bound); done || err != nil {
			return res, err
		}
	}

	var before string

	if _, err := within(tx).query(ctx, s.sql.bound, []any{bound}, &before); err != nil {
		return store.Result{}, err
	}

	res, err := s.change(ctx, within(tx), &op.Key, op, nil)
	if err == nil && res.Applied {
		_, err = within(tx).query(ctx, s.sql.bound, []any{before}, new(string))
	}

	return res, err
}

// claimFirstWithin is a claim that expects no record. It is not done where there is one that this statement has not locked.
func (s *Store) claimFirstWithin(ctx context.Context, tx *sql.Tx, op *store.Claim, bound string) (_ store.Result, done bool, _ error) {
	var made integer

	old, _, err := s.shortcut(ctx, within(tx), s.sql.claimWithin, append(freshArgs(op), bound), &made)

	switch {
	case err != nil:
		return store.Result{}, false, err
	case made == 1:
		return claimed(op, &old), true, nil
	case !old.exists():
		return store.Result{}, false, nil // it has appeared since the statement began
	}

	rec, err := old.record(&op.Key)
	if err != nil {
		return store.Result{}, false, err
	}

	// What is completed stays as it is, and needs no lock.
	res := store.Result{Record: rec, Now: old.time()}

	return res, rec.State == store.Completed && !wins(op, &res), nil
}

func (s *Store) claimMySQL(ctx context.Context, tx *sql.Tx, op *store.Claim, wait time.Duration) (store.Result, error) {
	bound, err := s.lockWait(ctx, within(tx), wait)
	if err != nil {
		return store.Result{}, err
	}

	if op.Fence == 0 {
		// The insert locks the record, whether it is this one or another, so that two claims cannot lock each other out.
		if _, err := tx.ExecContext(ctx, bound+s.sql.claimWithin, freshArgs(op)...); err != nil {
			return store.Result{}, err
		}
	}

	var old row

	found, err := within(tx).query(ctx, bound+s.sql.readLocked, []any{op.Key[:]}, old.targets()...)

	switch {
	case err != nil:
		return store.Result{}, err
	case !found:
		return s.change(ctx, within(tx), &op.Key, op, nil)
	default:
		return s.change(ctx, within(tx), &op.Key, op, &old)
	}
}

// lockWait bounds how long the statement that follows waits for a lock, in whole seconds. MySQL has no such thing: there the
// context alone ends the wait, and the connection with it.
func (s *Store) lockWait(ctx context.Context, at access, wait time.Duration) (string, error) {
	maria, err := s.isMariaDB(ctx, at)
	if err != nil || !maria {
		return "", err
	}

	return fmt.Sprintf("SET STATEMENT innodb_lock_wait_timeout=%d FOR ", int((wait+time.Second-1)/time.Second)), nil
}

// isMariaDB asks on the connection that is there: the pool may have no other.
func (s *Store) isMariaDB(ctx context.Context, at access) (bool, error) {
	if known := s.maria.Load(); known != nil {
		return *known, nil
	}

	var maria bool

	if _, err := at.query(ctx, s.sql.maria, nil, &maria); err != nil {
		return false, err
	}

	s.maria.Store(&maria)

	return maria, nil
}

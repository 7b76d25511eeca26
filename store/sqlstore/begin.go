package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// longestLockTimeout is the greatest lock_timeout of PostgreSQL, in milliseconds: 24 days. A longer wait ends then with ErrBusy.
const longestLockTimeout = math.MaxInt32

// Begin implements [store.Transactional]: it makes the claim of a single transaction.
//
//   - PostgreSQL, MySQL and MariaDB wait in the database for another transaction of the same key, for wait in milliseconds. If two
//     transactions begin at the same moment, MySQL and MariaDB wait in whole seconds. These bounds apply to the claim alone.
//   - SQLite has one writer. Transactions of all keys wait for each other until ctx ends.
//   - A cancellation of ctx ends the waits for room, for SQLite's turn to write, for a database that does not answer, and for another try.
//     The statements of the claim end only at the deadline of ctx, because an interruption costs the connection.
func (s *Store) Begin(
	ctx context.Context, op store.Claim, wait time.Duration,
) (res store.Result, _ store.Transaction, err error) {
	defer s.observed.Ended(ctx, store.OperationBegin, s.observed.Clock(), &res, &err)

	if err := bounded(&op); err != nil {
		return store.Result{}, nil, err
	}

	until := time.Now().Add(max(wait, 0))

	// Nobody sees the record before it is completed, so its note is not written.
	note := op.Note
	op.Note = nil

	caller := ctx

	ctx, done := s.lasting(ctx)
	defer done()

	lost := 0

	for try := 0; ; try++ {
		res, tx, err := s.beginOnce(ctx, caller, &op, until)

		switch {
		case err == nil && tx == nil:
			return res, nil, nil
		case err == nil:
			res.Record.Outcome = note

			return res, tx, nil
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer), errors.Is(err, store.ErrFull):
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w", err)
		case s.dialect.blocked(err), ctx.Err() == nil && s.dialect.timedOut(err):
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w: %w", store.ErrBusy, err)
		case full(err):
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w: %w", store.ErrFull, err)
		case lost < resends && s.refresh(ctx, err):
			lost++
		case s.undone(err), errors.Is(err, driver.ErrBadConn): // nothing was sent on the lost connection
		case reported(err) && !goingDown(err) || lost == resends:
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w", err)
		default:
			lost++
		}

		if caller.Err() != nil || !pause(ctx, try) {
			return store.Result{}, nil, fmt.Errorf("sqlstore: begin: %w", err)
		}

		s.resent(ctx, store.OperationBegin, err)
	}
}

// heedingDeadline returns a context that ends at the deadline of ctx, which may have no timer.
func (s *Store) heedingDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline)
	}

	return context.WithTimeout(ctx, s.timeout)
}

// lasting returns a context that ends at the deadline of ctx, but not when ctx is cancelled.
func (s *Store) lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(s.timeout)
	}

	return context.WithDeadline(context.WithoutCancel(ctx), deadline)
}

// beginOnce opens a transaction and claims in it, without another try. It waits for room until the caller has gone. The transaction is nil
// if the claim loses.
func (s *Store) beginOnce(
	ctx, caller context.Context, op *store.Claim, until time.Time,
) (res store.Result, tx *transaction, err error) {
	if err := s.passGate(caller); err != nil {
		return store.Result{}, nil, err
	}

	// A read without a transaction first, because claims are expensive here.
	if s.dialect != PostgreSQL {
		res, err = s.readFirst(ctx, &op.Key, until)
		s.gate.note(ctx, err)

		if err != nil || !wins(op, &res) {
			return res, nil, err
		}
	}

	leave, err := s.enter(ctx, caller)
	if err != nil {
		return store.Result{}, nil, err // the error is not about the database
	}

	res, tx, err = s.beginWith(ctx, op, until, leave)
	if tx == nil {
		leave()
	}

	s.gate.note(ctx, err)

	if err == nil && (op.Fence == 0 || res.Applied) { // a losing claim that expects a record only reads
		s.gate.wrote(nil)
	}

	return res, tx, err
}

// beginWith is beginOnce after the wait for room. If the claim wins, the transaction returns the room with leave.
func (s *Store) beginWith(
	ctx context.Context, op *store.Claim, until time.Time, leave func(),
) (res store.Result, tx *transaction, err error) {
	tx = &transaction{store: s, claim: *op, leave: leave}

	if err := tx.open(ctx); err != nil {
		return store.Result{}, nil, err
	}

	// The claim of MySQL must restore its session, so it must not be stopped between two statements. The statements obey ctx themselves.
	stop := func() bool { return ctx.Err() == nil }
	if s.dialect != MySQL {
		stop = context.AfterFunc(ctx, tx.cancel)
	}

	res, err = tx.claimWithin(ctx, op, until)

	switch inTime := stop(); {
	case err == nil && !inTime:
		err = context.DeadlineExceeded
	case err == nil && res.Applied:
		tx.record = res.Record

		return res, tx, nil
	}

	_, _ = tx.rollBack(ctx, false)

	return res, nil, err
}

// readFirst reads a record before the transaction is opened.
func (s *Store) readFirst(ctx context.Context, key *store.Key, until time.Time) (store.Result, error) {
	if s.dialect == MySQL {
		return s.readAfterWait(ctx, key, time.Until(until))
	}

	return s.lookup(ctx, s.pool(), key)
}

// wins reports whether a claim would win on the record that was read.
func wins(op *store.Claim, seen *store.Result) bool { return op.Apply(seen.Record, seen.Now).Applied }

// enter waits for room for a transaction, and in SQLite for the turn to write. Leave returns both, once. The wait ends when the caller has
// gone.
func (s *Store) enter(ctx, caller context.Context) (leave func(), err error) {
	if err := caller.Err(); err != nil {
		return nil, err // wrapped by Begin
	}

	var taken []chan struct{}

	leave = sync.OnceFunc(func() {
		for _, room := range taken {
			<-room
		}
	})

	for _, room := range []chan struct{}{s.room, s.turn} {
		if room == nil {
			continue
		}

		if err = s.take(ctx, caller, room); err == nil {
			taken = append(taken, room)

			continue
		}

		leave()

		return nil, fmt.Errorf("%w: %d transactions are open: %w", errNoRoom, cap(room), err)
	}

	return leave, nil
}

// take waits for a place in room.
func (s *Store) take(ctx, caller context.Context, room chan<- struct{}) error {
	select {
	case room <- struct{}{}:
		return nil
	default:
	}

	defer s.waited(ctx, store.OperationBegin, s.observed.Clock())

	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-caller.Done():
		return caller.Err()
	}
}

// claimWithin makes the claim. It waits for other transactions of the key at most until a time.
func (t *transaction) claimWithin(ctx context.Context, op *store.Claim, until time.Time) (store.Result, error) {
	s, wait := t.store, max(time.Until(until), time.Millisecond)

	switch s.dialect {
	case PostgreSQL:
		return t.claimPostgreSQL(ctx, op, boundOf(wait))
	case MySQL:
		return s.claimMySQL(ctx, t.tx, op, wait)
	case SQLite:
		// A transaction that begins with a read could not write after another writer.
		if _, err := t.tx.ExecContext(ctx, s.sql.lock); err != nil {
			return store.Result{}, err
		}

		return s.change(ctx, within(t.tx), &op.Key, op, nil)
	default:
		return store.Result{}, s.dialect.validate()
	}
}

// boundOf returns a wait as PostgreSQL's lock_timeout.
func boundOf(wait time.Duration) string {
	return fmt.Sprintf("%dms", min(max(wait.Milliseconds(), 1), longestLockTimeout))
}

func (t *transaction) claimPostgreSQL(ctx context.Context, op *store.Claim, bound string) (store.Result, error) {
	s, at := t.store, within(t.tx)

	if op.Fence == 0 {
		if res, done, err := t.claimFirst(ctx, op, bound); done || err != nil {
			return res, err
		}
	} else if err := t.bind(ctx, bound); err != nil {
		return store.Result{}, err
	}

	res, err := s.change(ctx, at, &op.Key, op, nil)
	if err == nil && res.Applied {
		_, err = at.query(ctx, s.sql.unbound, nil, new(string))
	}

	return res, err
}

// bind bounds the lock waits of the next statements. A pipelined transaction begins with the bound.
func (t *transaction) bind(ctx context.Context, bound string) error {
	if t.pipe != nil {
		return t.pipe.together(ctx, []Statement{
			{Query: begins(t.store.isolation)}, {Query: t.store.sql.bound, Args: []any{bound}, Targets: []any{new(string)}},
		})
	}

	_, err := within(t.tx).query(ctx, t.store.sql.bound, []any{bound}, new(string))

	return err
}

// claimFirst makes a claim that expects no record. Done is false if there is a record that it has not locked. The transaction is then
// bound.
func (t *transaction) claimFirst(ctx context.Context, op *store.Claim, bound string) (_ store.Result, done bool, err error) {
	var (
		made integer
		old  row
		args = append(freshArgs(op), bound, span(op.MaxRun, op.Lease, op.Retention))
	)

	if t.pipe != nil {
		made, old, err = t.claimTogether(ctx, args)
	} else {
		old, _, err = t.store.shortcut(ctx, within(t.tx), t.store.sql.claimWithin, args, &made)
	}

	switch {
	case err != nil:
		return store.Result{}, false, err
	case made != 0:
		return claimed(op, made), true, nil
	case old.exists():
		rec, err := old.record(&op.Key)
		if err != nil {
			return store.Result{}, false, err
		}

		// A completed record never changes, so it needs no lock.
		res := store.Result{Record: rec, Now: old.time()}
		if rec.State == store.Completed && !wins(op, &res) {
			return res, true, nil
		}
	}

	if t.pipe != nil {
		err = t.bind(ctx, bound)
	}

	return store.Result{}, false, err
}

func (s *Store) claimMySQL(
	ctx context.Context, tx *sql.Tx, op *store.Claim, wait time.Duration,
) (res store.Result, err error) {
	bound, undo, err := s.lockWait(ctx, within(tx), wait)
	if undo != nil {
		defer func() {
			if undone := undo(); err == nil {
				err = undone
			}
		}()
	}

	if err != nil {
		return store.Result{}, err
	}

	early, done := context.WithTimeout(ctx, max(wait, untilDeadline(ctx)/2))
	defer done()

	var old row

	found, err := s.lockMySQL(early, tx, op, bound, &old)

	switch {
	case err != nil && early.Err() != nil && ctx.Err() == nil:
		// There is time to find out who holds the record. A statement without an answer has cost the connection all the same.
		return store.Result{}, fmt.Errorf("%w: %w", errRaced, cmp.Or(silence(early, err), err))
	case err != nil:
		return store.Result{}, err
	case !found:
		return s.change(ctx, within(tx), &op.Key, op, nil)
	default:
		return s.change(ctx, within(tx), &op.Key, op, &old)
	}
}

// lockMySQL locks and reads the record of a key. A first claim inserts it if there is none. It returns false if there is no record.
func (s *Store) lockMySQL(ctx context.Context, tx *sql.Tx, op *store.Claim, bound string, old *row) (bool, error) {
	if op.Fence == 0 {
		// The insert locks the record, its own or another one, so that two claims cannot deadlock.
		if _, err := tx.ExecContext(ctx, bound+s.sql.claimWithin, s.freshArgsMySQL(op)...); err != nil {
			return false, err
		}
	}

	return within(tx).query(ctx, bound+s.sql.readLocked, []any{op.Key[:]}, old.answer(s.dialect)...)
}

// freshArgsMySQL returns the arguments of claimWithin in MySQL, which begin with method and readable key.
func (s *Store) freshArgsMySQL(op *store.Claim) []any {
	args := freshArgs(op)
	const text = 5 // method and readable key

	args = slices.Concat(args[text:text+2], args[:text], args[text+2:])

	return s.arriving(args, op.Key[:], op.Token[:], op.Fingerprint.Sum[:])
}

// untilDeadline returns the time until the deadline of a context that has one.
func untilDeadline(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()

	return time.Until(deadline)
}

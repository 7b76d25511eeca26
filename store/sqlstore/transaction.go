package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// transaction is a single one: that of a claim, of its handler's writes and of their outcome.
type transaction struct {
	store  *Store
	claim  store.Claim
	record store.Record // as it was claimed
	tx     *sql.Tx
	pipe   *pipelined // where statements are sent together

	used    atomic.Bool // the handler has sent a statement
	saved   atomic.Bool // the savepoint is there
	suspect atomic.Bool // one of the statements may have ended the transaction by itself
	blind   atomic.Bool // so may an error that only the handler has seen
	unseen  atomic.Bool // errors of some statements went to the handler alone

	cancel context.CancelFunc
	leave  func() // gives the room back, once

	mu       sync.Mutex
	over     bool
	conflict error // what another transaction has done to it
	gone     error // why there is no transaction any more, although nobody has ended it
	failed   error // the first error of the handler's statements
}

var _ store.Transaction = (*transaction)(nil)

var (
	// errNotOwn says that somebody has taken the record from the transaction that has it.
	errNotOwn = errors.New("the record is not the transaction's own any more")
	// errEnded says that the transaction is not there, although nobody has seen an error that ended it.
	errEnded = errors.New("a statement of the handler has ended its transaction, so what the handler wrote may be committed: " +
		"let handlers begin and end no transactions, and change no schema")
)

// Used implements [store.Transaction].
func (t *transaction) Used() bool { return t.used.Load() }

// open begins the transaction. It does not end with ctx, but with cancel.
func (t *transaction) open(ctx context.Context) error {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))

	if t.store.pipeline != nil {
		pipe, err := t.store.newPipelined(ctx, life)
		if err != nil {
			cancel()

			return err
		}

		t.tx, t.pipe, t.cancel = pipe.tx, pipe, cancel // it begins with the claim

		return nil
	}

	stop := context.AfterFunc(ctx, cancel)

	tx, err := t.store.db.BeginTx(life, &sql.TxOptions{Isolation: t.store.isolation})
	if !stop() && err == nil {
		go func() { _ = tx.Rollback() }() // the time is over, and some drivers wait for the answer

		err = context.DeadlineExceeded
	}

	if err != nil {
		cancel()

		return err
	}

	t.tx, t.cancel = tx, cancel

	return nil
}

// end lets the handler's statements fail from now on. It fails where the transaction is gone.
func (t *transaction) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.over = true

	if t.gone != nil && t.suspect.Load() {
		return fmt.Errorf("%w: %w", errEnded, t.gone)
	}

	return t.gone
}

// Rollback implements [store.Transaction]. Where the handler has sent a statement that may have ended the transaction, it looks
// whether the transaction is there.
func (t *transaction) Rollback() (held bool, err error) {
	defer t.leave()

	_ = t.end() // it ends in any case

	doubted := t.doubted()
	answered, err := t.rollBack(context.Background(), doubted)

	return answered && (doubted || t.unbroken()), err
}

// unbroken reports whether none of the handler's statements can have failed. In PostgreSQL a failed statement ends the transaction for
// everybody else.
func (t *transaction) unbroken() bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.failed == nil && !t.unseen.Load()
}

// rollBack ends the transaction, after a look whether it is there if it is doubted. Answered means that it was there until the database
// has rolled it back.
func (t *transaction) rollBack(ctx context.Context, doubted bool) (answered bool, err error) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), t.store.timeout)
	defer done()

	type answer struct{ look, end error }

	ended := make(chan answer, 1)

	go func() {
		var a answer
		if doubted {
			a.look = t.stands(ctx, t.store.undo)
		}

		a.end = t.tx.Rollback()

		ended <- a
	}()

	var a answer

	select {
	case a = <-ended:
	case <-ctx.Done():
		a.look = ctx.Err() // nobody answers; the cancellation ends the connection, and the other with it
	}

	t.cancel()

	// Without an answer to the ROLLBACK it is rolled back as well, unless it was committed before.
	if errors.Is(a.look, errEnded) || a.look != nil && t.suspect.Load() {
		return false, fmt.Errorf("sqlstore: rollback: %w", a.look)
	}

	return a.look == nil && a.end == nil, nil
}

// doubted reports whether the transaction may have ended unseen. What the database has ended because of an error that was seen, it has
// rolled back.
func (t *transaction) doubted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.suspect.Load() || t.blind.Load() && t.conflict == nil && t.gone == nil
}

// stands looks whether the transaction is the one that was begun, and fails with errEnded where it has ended. Savepoint is a statement
// about the savepoint, which went before all that may have ended the transaction by itself. An error that has ended it has rolled
// its claim back.
func (t *transaction) stands(ctx context.Context, savepoint string) error {
	if t.suspect.Load() {
		if _, err := t.tx.ExecContext(ctx, savepoint); err != nil {
			return t.looked(err)
		}
	}

	if !t.blind.Load() {
		return nil
	}

	switch r, err := t.store.read(ctx, access{querier: t.tx}, &t.claim.Key); {
	case err != nil:
		return t.looked(err)
	case !bytes.Equal(r.token, t.claim.Token[:]):
		return fmt.Errorf("%w: its claim is gone", errEnded)
	default:
		return nil
	}
}

// looked is what the error of a look means.
func (t *transaction) looked(err error) error {
	switch {
	case err == nil:
		return nil
	case t.suspect.Load() && t.store.dialect.noSavepoint(err), t.suspect.Load() && (!reported(err) || goingDown(err)):
		return fmt.Errorf("%w: %w", errEnded, err)
	default:
		return err
	}
}

// Conflicted implements [store.Transaction].
func (t *transaction) Conflicted(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.conflict != nil || t.store.conflicts(err)
}

// Complete implements [store.Transaction].
func (t *transaction) Complete(ctx context.Context, op store.Completion, undo bool) (res store.Result, err error) {
	defer t.store.observed.Ended(ctx, store.OperationCommit, t.store.observed.Clock(), &res, &err)

	return t.settle(ctx, &op, undo)
}

// settle writes the outcome and commits, or undoes what the handler wrote and records the outcome apart.
func (t *transaction) settle(ctx context.Context, op *store.Completion, undo bool) (store.Result, error) {
	defer t.leave()

	ctx, done := t.store.heedingDeadline(ctx)
	defer done()

	// A handler that has sent no statement has written nothing that is to be undone.
	if undo && t.Used() {
		return t.completeApart(ctx, op)
	}

	if t.pipe != nil {
		return t.completeTogether(ctx, op)
	}

	res, err := t.write(ctx, op)
	if err != nil {
		_, _ = t.rollBack(ctx, false)

		return store.Result{}, t.unwritten(err)
	}

	switch sure, err := t.commit(ctx); {
	case err == nil:
		return res, nil
	case sure:
		return store.Result{}, t.uncommitted(err)
	default:
		return t.decide(ctx, err)
	}
}

// unwritten is the error of a transaction that was rolled back because its outcome could not be written.
func (t *transaction) unwritten(err error) error {
	switch {
	case errors.Is(err, errEnded):
		return fmt.Errorf("sqlstore: complete: %w", err) // nobody knows what is left of it
	case t.Conflicted(err):
		return rolledBack(err, true)
	case t.store.dialect.spoiled(err):
		t.mu.Lock()
		defer t.mu.Unlock()

		if t.failed != nil {
			err = fmt.Errorf("%w: and the handler went on: %w", t.failed, err)
		}

		return t.store.refused(err)
	default:
		return rolledBack(err, false)
	}
}

// uncommitted is the error of a transaction that the database has refused to commit.
func (t *transaction) uncommitted(err error) error {
	if t.store.dialect.refuses(err) && !t.store.conflicts(err) {
		return t.store.refused(err)
	}

	return rolledBack(err, t.store.conflicts(err))
}

// refused is the error of a transaction that could not be committed because of what its handler wrote.
func (s *Store) refused(err error) *store.RefusedError {
	return &store.RefusedError{Err: s.handlersError(err)}
}

// handlersError is what WithCommitError makes of the driver's error.
func (s *Store) handlersError(err error) error {
	if s.commitError != nil {
		if of := s.commitError(err); of != nil {
			return of
		}
	}

	return err
}

// write writes the outcome.
func (t *transaction) write(ctx context.Context, op *store.Completion) (store.Result, error) {
	if err := t.end(); err != nil {
		return store.Result{}, err
	}

	if t.doubted() {
		if err := t.stands(ctx, t.store.keep); err != nil {
			return store.Result{}, err // wrapped by Complete
		}
	}

	res, err := t.complete(ctx, op)
	if err == nil && !res.Applied {
		err = errNotOwn
	}

	return res, err
}

// complete completes the record, which nobody else can have changed.
func (t *transaction) complete(ctx context.Context, op *store.Completion) (store.Result, error) {
	if t.store.sql.completeWithin == "" {
		return t.store.complete(ctx, within(t.tx), op)
	}

	var at integer

	found, err := within(t.tx).query(ctx, t.store.sql.completeWithin, t.completeWithinArgs(op), &at)
	if err != nil || !found {
		return store.Result{}, err
	}

	return t.completed(op, at), nil
}

// completeWithinArgs are the arguments of the statement that completes the record of a transaction.
func (t *transaction) completeWithinArgs(op *store.Completion) []any {
	// The record as it would be if it had ended in 1970.
	rec := t.record
	op.ApplyTo(&rec, time.UnixMilli(0))

	ended := rowOf(&op.Key, &rec, 0)
	ended.endedAt, ended.expiresAt = 0, 0

	args := completionArgs(op)[:6] // the record has no note
	args[4] = int64(ended.sum())   // in place of the seal of the note
	args[5] = int64(ended.retention)

	return args
}

// completed is the answer to a completion that happened at a time.
func (t *transaction) completed(op *store.Completion, at integer) store.Result {
	res := store.Result{Record: t.record, Now: timeOf(at)}
	res.Applied, _ = op.ApplyTo(&res.Record, res.Now)
	round(&res.Record)

	return res
}

// commit reports as well whether it is sure that a transaction which has not committed never will. What the database says is
// believed only of conflicts, of what the handler wrote, and of statements that took too long; anything else is looked into.
func (t *transaction) commit(ctx context.Context) (sure bool, err error) {
	committed := make(chan error, 1)

	go func() { committed <- t.tx.Commit() }()

	deadline, _ := ctx.Deadline()

	// The other half is for finding out.
	patience := time.NewTimer(time.Until(deadline) / 2)
	defer patience.Stop()

	select {
	case err = <-committed:
	case <-patience.C:
		err = context.DeadlineExceeded // the cancellation ends the connection, and the other with it
	case <-ctx.Done():
		err = ctx.Err()
	}

	t.cancel()

	d := t.store.dialect

	return t.store.conflicts(err) || d.refuses(err) || d == PostgreSQL && d.timedOut(err), err
}

// conflicts recognises the errors after which a transaction is gone because of another one. No error is none of them, and the
// function of WithRetryable is not asked about it.
func (s *Store) conflicts(err error) bool {
	switch {
	case err == nil:
		return false
	case s.retryable != nil:
		return s.retryable(err)
	default:
		return s.dialect.conflicts(err)
	}
}

// rolledBack is an error of a transaction of which nothing is left.
func rolledBack(err error, conflict bool) error {
	if conflict {
		return fmt.Errorf("sqlstore: %w: %w: %w", store.ErrRolledBack, store.ErrConflict, err)
	}

	return fmt.Errorf("sqlstore: %w: %w", store.ErrRolledBack, err)
}

// decide finds out what has become of the transaction after an error of its commit. The transaction that finds out takes the room.
func (t *transaction) decide(ctx context.Context, cause error) (store.Result, error) {
	t.leave()

	return t.store.decide(ctx, &t.claim, cause)
}

// decide finds out what has become of a transaction whose commit nobody has confirmed: it claims the key in another transaction,
// on another connection, which has to wait for the end of the first, and rolls that back.
func (s *Store) decide(ctx context.Context, op *store.Claim, cause error) (store.Result, error) {
	probe := *op
	probe.Token[0] ^= 0xff

	deadline, _ := ctx.Deadline()

	for try := 0; ; try++ {
		res, tx, err := s.beginOnce(ctx, ctx, &probe, deadline)
		if tx != nil {
			_, _ = tx.rollBack(ctx, false)

			tx.leave()
		}

		switch {
		case err == nil && res.Applied:
			return store.Result{}, rolledBack(cause, false) // the probe has found nothing in its way
		case err == nil && res.Record.State != store.Absent && res.Record.Token == op.Token:
			res.Applied = res.Record.State == store.Completed

			return res, nil
		case err == nil && res.Record.Fence == op.Fence && res.Record.State != store.Completed:
			return store.Result{}, rolledBack(cause, false) // the record is as it was before
		case err == nil:
			return res, nil
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			return store.Result{}, fmt.Errorf("sqlstore: commit: %w", err)
		}

		s.refresh(ctx, err)

		if !pause(ctx, try) {
			return store.Result{}, fmt.Errorf("sqlstore: it is not known whether a transaction has committed: %w: %w", cause, err)
		}
	}
}

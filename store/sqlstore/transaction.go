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

// transaction is a single transaction: a claim, its handler's writes and their outcome.
type transaction struct {
	store  *Store
	claim  store.Claim
	record store.Record // as it was claimed
	tx     *sql.Tx
	pipe   *pipelined // not nil if statements are sent together

	used    atomic.Bool // the handler has sent a statement
	saved   atomic.Bool // the savepoint exists
	suspect atomic.Bool // a statement may have ended the transaction
	blind   atomic.Bool // an error that only the handler saw may have ended the transaction
	unseen  atomic.Bool // the errors of some statements went only to the handler

	cancel context.CancelFunc
	leave  func() // returns the room, once

	mu       sync.Mutex
	over     bool
	conflict error // of another transaction
	gone     error // why the transaction ended although nobody ended it
	failed   error // the first error of the handler's statements
}

var _ store.Transaction = (*transaction)(nil)

var (
	// errNotOwn means that another run has the record of the transaction.
	errNotOwn = errors.New("another run has the record of the transaction")
	// errEnded means that the transaction has ended without an error that ended it.
	errEnded = errors.New("a statement of the handler has ended its transaction, so what the handler wrote may be committed: " +
		"let handlers begin and end no transactions, and change no schema")
)

// Used implements [store.Transaction].
func (t *transaction) Used() bool { return t.used.Load() }

// open begins the transaction. It ends with cancel, not with ctx.
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
		go func() { _ = tx.Rollback() }() // the time has ended, and some drivers wait for the answer

		err = context.DeadlineExceeded
	}

	if err != nil {
		cancel()

		return err
	}

	t.tx, t.cancel = tx, cancel

	return nil
}

// end makes the handler's later statements fail. It returns an error if the transaction is gone.
func (t *transaction) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.over = true

	if t.gone != nil && t.suspect.Load() {
		return fmt.Errorf("%w: %w", errEnded, t.gone)
	}

	return t.gone
}

// Rollback implements [store.Transaction]. If a statement of the handler may have ended the transaction, Rollback first looks for it.
func (t *transaction) Rollback() (held bool, err error) {
	defer t.leave()

	_ = t.end() // it ends in any case

	doubted := t.doubted()
	answered, err := t.rollBack(context.Background(), doubted)

	return answered && (doubted || t.unbroken()), err
}

// unbroken reports whether no statement of the handler can have failed. In PostgreSQL a failed statement ends the transaction for others.
func (t *transaction) unbroken() bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.failed == nil && !t.unseen.Load()
}

// rollBack ends the transaction. If doubted, it first looks for the transaction. Answered means that the transaction existed until the
// database rolled it back.
func (t *transaction) rollBack(ctx context.Context, doubted bool) (answered bool, err error) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), t.store.timeout)
	defer done()

	type answer struct{ probe, end error }

	ended := make(chan answer, 1)

	go func() {
		var a answer
		if doubted {
			a.probe = t.stands(ctx, t.store.undo)
		}

		a.end = t.tx.Rollback()

		ended <- a
	}()

	var a answer

	select {
	case a = <-ended:
	case <-ctx.Done():
		a.probe = ctx.Err() // nobody answers; the cancellation ends the connection and the other goroutine
	}

	t.cancel()

	// Without an answer to the ROLLBACK the transaction is rolled back too, unless it was committed before.
	if errors.Is(a.probe, errEnded) || a.probe != nil && t.suspect.Load() {
		return false, fmt.Errorf("sqlstore: rollback: %w", a.probe)
	}

	return a.probe == nil && a.end == nil, nil
}

// doubted reports whether the transaction may have ended unseen. If it ended by an error that the store saw, it was rolled back.
func (t *transaction) doubted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.suspect.Load() || t.blind.Load() && t.conflict == nil && t.gone == nil
}

// stands looks for the transaction, and returns errEnded if it has ended. Savepoint is a statement about the savepoint, which was made
// before every statement that may have ended the transaction by itself. An error that ended the transaction has rolled its claim back.
func (t *transaction) stands(ctx context.Context, savepoint string) error {
	if t.suspect.Load() {
		if _, err := t.tx.ExecContext(ctx, savepoint); err != nil {
			return t.endedBy(err)
		}
	}

	if !t.blind.Load() {
		return nil
	}

	switch r, err := t.store.read(ctx, access{querier: t.tx}, &t.claim.Key); {
	case err != nil:
		return t.endedBy(err)
	case !bytes.Equal(r.token, t.claim.Token[:]):
		return fmt.Errorf("%w: its claim is gone", errEnded)
	default:
		return nil
	}
}

// endedBy returns the meaning of the error of such a probe.
func (t *transaction) endedBy(err error) error {
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

// settle writes the outcome and commits. If undo is true, it rolls back and records the outcome in another transaction.
func (t *transaction) settle(ctx context.Context, op *store.Completion, undo bool) (store.Result, error) {
	defer t.leave()

	ctx, done := t.store.heedingDeadline(ctx)
	defer done()

	// A handler that sent no statement has nothing to undo.
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

// unwritten returns the error of a transaction that was rolled back because its outcome could not be written.
func (t *transaction) unwritten(err error) error {
	switch {
	case errors.Is(err, errEnded):
		return fmt.Errorf("sqlstore: complete: %w", err) // nobody knows what is left
	case t.Conflicted(err):
		return rolledBack(err, true)
	case t.store.dialect.spoiled(err):
		t.mu.Lock()
		defer t.mu.Unlock()

		if t.failed != nil {
			err = fmt.Errorf("%w: and the handler continued: %w", t.failed, err)
		}

		return t.store.refused(err)
	default:
		return rolledBack(err, false)
	}
}

// uncommitted returns the error of a transaction that the database refused to commit.
func (t *transaction) uncommitted(err error) error {
	if t.store.dialect.refuses(err) && !t.store.conflicts(err) {
		return t.store.refused(err)
	}

	return rolledBack(err, t.store.conflicts(err))
}

// refused returns the error of a transaction that could not be committed because of its handler's writes.
func (s *Store) refused(err error) *store.RefusedError {
	return &store.RefusedError{Err: s.handlersError(err)}
}

// handlersError applies WithCommitError to the driver's error.
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

// completeWithinArgs returns the arguments of the statement that completes the record of a transaction.
func (t *transaction) completeWithinArgs(op *store.Completion) []any {
	// The record as if it had ended in 1970.
	rec := t.record
	op.ApplyTo(&rec, time.UnixMilli(0))

	ended := rowOf(&op.Key, &rec, 0)
	ended.endedAt, ended.expiresAt = 0, 0

	args := completionArgs(op)[:6] // the record has no note
	args[4] = int64(ended.sum())   // in place of the seal of the note
	args[5] = int64(ended.retention)

	return args
}

// completed returns the result of a completion at a time.
func (t *transaction) completed(op *store.Completion, at integer) store.Result {
	res := store.Result{Record: t.record, Now: timeOf(at)}
	res.Applied, _ = op.ApplyTo(&res.Record, res.Now)
	round(&res.Record)

	return res
}

// commit commits. If it fails, sure reports whether the transaction can never commit. The database's answer is trusted for conflicts, for
// refusals of the handler's writes, and for statements that took too long. Everything else is examined.
func (t *transaction) commit(ctx context.Context) (sure bool, err error) {
	committed := make(chan error, 1)

	go func() { committed <- t.tx.Commit() }()

	deadline, _ := ctx.Deadline()

	// The other half of the time is for decide.
	patience := time.NewTimer(time.Until(deadline) / 2)
	defer patience.Stop()

	select {
	case err = <-committed:
	case <-patience.C:
		err = context.DeadlineExceeded // the cancellation ends the connection and the other goroutine
	case <-ctx.Done():
		err = ctx.Err()
	}

	t.cancel()

	d := t.store.dialect

	return t.store.conflicts(err) || d.refuses(err) || d == PostgreSQL && d.timedOut(err), err
}

// conflicts reports whether another transaction has ended this one. The function of WithRetryable is not called with a nil error.
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

// rolledBack returns the error of a transaction that left nothing behind.
func rolledBack(err error, conflict bool) error {
	if conflict {
		return fmt.Errorf("sqlstore: %w: %w: %w", store.ErrRolledBack, store.ErrConflict, err)
	}

	return fmt.Errorf("sqlstore: %w: %w", store.ErrRolledBack, err)
}

// decide finds out what happened to the transaction after an error of its commit. The deciding transaction takes its room.
func (t *transaction) decide(ctx context.Context, cause error) (store.Result, error) {
	t.leave()

	return t.store.decide(ctx, &t.claim, cause)
}

// decide finds out what happened to a transaction whose commit was not confirmed. It claims the key in another transaction on another
// connection, which must wait for the end of the first, and rolls that back.
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
			return store.Result{}, rolledBack(cause, false) // the claim met no record
		case err == nil && res.Record.State != store.Absent && res.Record.Token == op.Token:
			res.Applied = res.Record.State == store.Completed

			return res, nil
		case err == nil && res.Record.Fence == op.Fence && res.Record.State != store.Completed:
			return store.Result{}, rolledBack(cause, false) // the record is unchanged
		case err == nil:
			return res, nil
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			return store.Result{}, fmt.Errorf("sqlstore: commit: %w", err)
		}

		s.refresh(ctx, err)

		if !pause(ctx, try) {
			return store.Result{}, fmt.Errorf("sqlstore: commit: nobody knows whether the transaction has committed: %w: %w", cause, err)
		}
	}
}

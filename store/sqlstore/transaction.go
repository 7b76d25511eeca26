package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
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
	saved  bool       // the savepoint is there
	cancel context.CancelFunc
	leave  func() // gives the room back

	mu       sync.Mutex
	over     bool
	conflict error // what another transaction has done to it
	gone     error // why there is no transaction any more, although nobody has ended it
}

var _ store.Transaction = (*transaction)(nil)

// errNotOwn says that somebody has taken the record from the transaction that has it.
var errNotOwn = errors.New("the record is not the transaction's own any more")

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
		_ = tx.Rollback() // the time is over

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

	return t.gone
}

// Rollback implements [store.Transaction].
func (t *transaction) Rollback() {
	_ = t.end() // it ends in any case

	ended := make(chan struct{})

	go func() {
		defer close(ended)

		_ = t.tx.Rollback() // nothing has been committed, whatever the database has heard
	}()

	timer := time.NewTimer(t.store.timeout)
	defer timer.Stop()

	select {
	case <-ended:
	case <-timer.C: // nobody answers; the cancellation ends the connection, and the other with it
	}

	t.cancel()
	t.leave()
}

// Conflicted implements [store.Transaction].
func (t *transaction) Conflicted(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.conflict != nil || t.store.conflicts(err)
}

// Complete implements [store.Transaction].
func (t *transaction) Complete(ctx context.Context, op store.Completion, undo bool) (store.Result, error) {
	ctx, done := t.store.heedingDeadline(ctx)
	defer done()

	if t.pipe != nil {
		return t.completeTogether(ctx, &op, undo)
	}

	res, err := t.write(ctx, &op, undo)
	if err != nil {
		t.Rollback()

		return store.Result{}, rolledBack(err, t.Conflicted(err))
	}

	switch sure, err := t.commit(ctx); {
	case err == nil:
		return res, nil
	case sure:
		return store.Result{}, rolledBack(err, t.store.conflicts(err))
	default:
		return t.store.decide(ctx, &t.claim, err)
	}
}

// write writes the outcome, without what the handler has written where undo is set.
func (t *transaction) write(ctx context.Context, op *store.Completion, undo bool) (store.Result, error) {
	if err := t.end(); err != nil {
		return store.Result{}, err
	}

	if undo {
		if _, err := t.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT "+savepoint); err != nil {
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

	args := completionArgs(op)
	args[len(args)-1] = int64(ended.sum()) // in place of what an outcome is that is not there

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
// believed only of conflicts and of violated constraints; anything else is looked into.
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
	t.leave()

	return t.store.conflicts(err) || strings.HasPrefix(sqlState(err), classConstraint), err
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

// decide finds out what has become of a transaction whose commit nobody has confirmed: it claims the key in another transaction,
// on another connection, which has to wait for the end of the first, and rolls that back.
func (s *Store) decide(ctx context.Context, op *store.Claim, cause error) (store.Result, error) {
	probe := *op
	probe.Token[0] ^= 0xff

	deadline, _ := ctx.Deadline()

	for try := 0; ; try++ {
		res, tx, err := s.beginOnce(ctx, ctx, &probe, deadline)
		if tx != nil {
			tx.Rollback()
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

		if !pause(ctx, try) {
			return store.Result{}, fmt.Errorf("sqlstore: it is not known whether a transaction has committed: %w: %w", cause, err)
		}
	}
}

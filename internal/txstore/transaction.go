package txstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/onlyonce-go/onlyonce/store"
)

type transactionKey struct{}

// ErrConflict is the error of a handler's statement that conflicts with another transaction.
var ErrConflict = errors.New("txstore: conflict")

// ErrViolation is the database's error for writes of the handler that it does not accept.
var ErrViolation = errors.New("txstore: a deferred constraint is violated")

var errLost = errors.New("txstore: the connection is gone")

// transaction is the single transaction of a claim.
type transaction struct {
	store  *Store
	claim  store.Claim
	writes []func()
	used   atomic.Bool

	conflicted bool // a statement of the handler has met another transaction
}

// Take takes the transaction from a handler's context, and writes nothing.
func Take(ctx context.Context) error {
	_, err := take(ctx)

	return err
}

// Write adds a function that runs when the transaction of a handler's context commits.
func Write(ctx context.Context, write func()) {
	tx, err := take(ctx)
	if err != nil {
		panic(err)
	}

	tx.writes = append(tx.writes, write)
}

// Clash is a statement of a handler that conflicts with another transaction. It returns ErrConflict.
func Clash(ctx context.Context) error {
	tx, err := take(ctx)
	if err != nil {
		return err
	}

	tx.conflicted = true

	return ErrConflict
}

func take(ctx context.Context) (*transaction, error) {
	tx, ok := ctx.Value(transactionKey{}).(*transaction)
	if !ok {
		return nil, errors.New("txstore: the handler has no transaction")
	}

	tx.used.Store(true)

	return tx, nil
}

// Context implements [store.Transaction].
func (t *transaction) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, transactionKey{}, t)
}

// Complete implements [store.Transaction].
func (t *transaction) Complete(ctx context.Context, op store.Completion, undo bool) (store.Result, error) {
	defer t.store.unlock(t.claim.Key)

	if undo {
		t.writes = nil
	}

	fault := t.store.nextFault()

	switch fault {
	case Conflict:
		return store.Result{}, fmt.Errorf("%w, %w", store.ErrRolledBack, store.ErrConflict)
	case Refused:
		return store.Result{}, store.ErrRolledBack
	case Violation:
		return store.Result{}, &store.RefusedError{Err: ErrViolation}
	case RequestLost:
		return store.Result{}, errLost
	case NoFault, ReplyLost:
	}

	if res, err := t.store.committed.Claim(ctx, t.claim); err != nil || !res.Applied {
		return res, err
	}

	res, err := t.store.committed.Complete(ctx, op)

	for _, write := range t.writes {
		write()
	}

	if fault == ReplyLost {
		return store.Result{}, errLost
	}

	return res, err
}

// Rollback implements [store.Transaction].
func (t *transaction) Rollback() (held bool, err error) {
	t.store.unlock(t.claim.Key)

	return true, nil
}

// Conflicted implements [store.Transaction].
func (t *transaction) Conflicted(err error) bool { return t.conflicted || errors.Is(err, ErrConflict) }

// Used implements [store.Transaction].
func (t *transaction) Used() bool { return t.used.Load() }

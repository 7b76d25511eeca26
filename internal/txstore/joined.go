package txstore

import (
	"context"
	"errors"

	"github.com/onlyonce-go/onlyonce/store"
)

type joinKey struct{}

// Tx is a transaction that a handler opens itself.
type Tx struct {
	store  *Store
	op     store.Completion
	held   bool
	writes []func()
}

// ErrOvertaken means that the record does not belong to the run any more.
var ErrOvertaken = errors.New("txstore: overtaken")

type joinedRun struct {
	store *Store
	run   store.Joinable
}

// Join implements [store.Transactional].
func (s *Store) Join(ctx context.Context, run store.Joinable) context.Context {
	return context.WithValue(ctx, joinKey{}, joinedRun{s, run})
}

// Open opens a transaction.
func (s *Store) Open() *Tx { return &Tx{store: s} }

// Write adds a function that runs when the transaction commits.
func (t *Tx) Write(write func()) { t.writes = append(t.writes, write) }

// Join writes the completion of the run to which a handler's context belongs.
func (t *Tx) Join(ctx context.Context, response any, answer error) error {
	joined, ok := ctx.Value(joinKey{}).(joinedRun)
	if !ok {
		panic("txstore: the handler has no joined run")
	}

	if err := joined.run.Refusal(ctx); err != nil {
		return err
	}

	op, definite, _, err := joined.run.Outcome(response, answer)
	if err != nil || !definite {
		return errors.Join(err, errors.New("txstore: not definite"))
	}

	if err := t.store.lock(ctx, op.Key); err != nil {
		return err
	}

	seen, err := t.store.committed.Lookup(ctx, op.Key)
	if err != nil || seen.Record.State != store.Running || seen.Record.Token != op.Token {
		t.store.unlock(op.Key)
		joined.run.Written(false)

		return errors.Join(err, ErrOvertaken)
	}

	t.op, t.held = op, true
	joined.run.Written(true)

	return nil
}

// Commit ends the transaction.
func (t *Tx) Commit(ctx context.Context) error {
	if !t.held {
		return nil
	}
	defer t.Rollback()

	fault := t.store.nextFault()
	if fault != NoFault && fault != ReplyLost {
		return errLost
	}

	_, err := t.store.committed.Complete(ctx, t.op)

	for _, write := range t.writes {
		write()
	}

	if fault == ReplyLost {
		return errLost
	}

	return err
}

// Rollback rolls the transaction back, unless it has ended.
func (t *Tx) Rollback() {
	if t.held {
		t.held = false
		t.store.unlock(t.op.Key)
	}
}

package store

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Transactional writes records in the database transactions of handlers, so that the record and the handler's rows commit together or not
// at all. Only such a store can keep the ExactlyOnce guarantee. See [Capabilities].
//
// There are two ways:
//   - Single: the claim, the handler's rows and the outcome are one transaction. See [Transactional.Begin].
//   - Joined: the claim has a lease, as on any store. The handler opens a transaction, and the completion is written in it. See
//     [Transactional.Join].
type Transactional interface {
	// Inspector reads what a handler's transaction left behind.
	Inspector

	// Begin opens a transaction and claims in it. If the claim wins, Applied is true and the Transaction is open. Otherwise the Transaction is
	// nil, and the Result has the record.
	//
	// If another transaction holds the record, Begin waits for its end, at most for wait, and then returns the record. The error matches
	// ErrBusy if the other transaction is still open, and ErrFull if the store has no room for a transaction. After every error there is no
	// transaction, and nothing has changed.
	//   - The transaction does not end with ctx.
	//   - If ctx is cancelled, Begin stops waiting for room. It may let a statement that was already sent run until ctx's deadline, because an
	//     interruption costs the connection.
	Begin(ctx context.Context, op Claim, wait time.Duration) (Result, Transaction, error)
	// Join returns a context for the handler of a leased run. With it the handler opens a transaction that writes the run's completion.
	Join(ctx context.Context, run Joinable) context.Context
}

// Transaction is an open transaction whose claim has won. One goroutine uses it, and ends it once with Complete or Rollback.
type Transaction interface {
	// Context returns a context in which the handler finds the transaction.
	Context(ctx context.Context) context.Context
	// Complete records the outcome and commits. If undo is true, it first rolls back the handler's writes, and commits the outcome without
	// them. The outcome may then need another transaction. If somebody else took the record in between, Applied is false.
	//   - Applied is true only if the transaction has committed.
	//   - If Applied is false, Record is what somebody else left meanwhile.
	//   - An error that matches ErrRolledBack means that nothing was committed, and nothing will be.
	//   - An error that also matches ErrConflict means that another try may succeed.
	//   - A *RefusedError also matches ErrRolledBack. The database refused to commit the handler's writes.
	//   - After any other error nobody knows.
	Complete(ctx context.Context, op Completion, undo bool) (Result, error)
	// Rollback ends the transaction without a trace, even if the database cannot be reached.
	//   - Held means that the transaction certainly held the record until now. If held is false, the database may have ended the transaction
	//     earlier, and another run may have begun. Lost connections and failed statements are examples.
	//   - An error means that the rollback is uncertain: a statement of the handler may have committed its writes. The outcome of the run is
	//     then unknown.
	Rollback() (held bool, err error)
	// Conflicted reports whether another transaction prevents the commit, such as by a deadlock or a serialization failure. Another run of the
	// handler may succeed. Err is the handler's error, or nil.
	Conflicted(err error) bool
	// Used reports whether the handler took the transaction from its context and, as far as the store can see, used it. It stays true after
	// the end of the transaction. If it is false, the handler's rows are elsewhere and do not commit with the record.
	Used() bool
}

// Joinable is a leased run whose completion a handler may write in its own transaction.
type Joinable interface {
	// Outcome classifies the results that the handler is about to return.
	//   - Definite is false if nothing may be recorded.
	//   - Keep is true if the handler's writes are kept although err is not nil.
	//   - Problem is why the outcome cannot be recorded, or nil.
	Outcome(response any, err error) (op Completion, definite, keep bool, problem error)
	// Written reports to the run that its completion was written in a transaction that may commit. Applied is false if another run owns the
	// record: nothing was written, and the transaction must not commit.
	Written(applied bool)
	// Refusal returns nil if the run may write its completion in a transaction of the handler. Otherwise the error states why not and what to
	// do. The store then returns the error to the handler and opens no transaction. Ctx is the context of the attempt. In the context of a
	// nested run the result is an error. The result does not change during a run.
	Refusal(ctx context.Context) error
}

// RefusedError is the error of Transaction.Complete if the database refused to commit the handler's writes, such as for a deferred
// constraint. The transaction was rolled back without a trace, so the error matches ErrRolledBack. The store works: another run of the
// handler is likely to end in the same way.
type RefusedError struct {
	// Err is the database driver's error. It is not nil.
	Err error
}

// Error returns the text of the refusal.
func (e *RefusedError) Error() string {
	return "store: committing the handler's writes: the database refused and rolled them back: " + e.Err.Error()
}

// Unwrap returns the driver's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// Is reports whether target is ErrRolledBack.
func (e *RefusedError) Is(target error) bool { return target == ErrRolledBack }

var (
	// ErrBusy is matched by errors about a record that another run's transaction holds.
	ErrBusy = errors.New("store: the record is held by another transaction")
	// ErrRolledBack is matched by errors of a transaction that left nothing behind.
	ErrRolledBack = errors.New("store: the transaction was rolled back")
	// ErrConflict is matched by errors of a transaction that was rolled back because of another transaction. Another try may succeed.
	ErrConflict = errors.New("store: the transaction conflicted with another one")
)

// openTransaction is an open transaction of a handler.
type openTransaction struct {
	home any
	open atomic.Bool
}

type openTransactionKey struct{}

// WithinTransaction returns a context for code that runs while a handler's transaction is open on the database of this Home. The function
// ends that state. The engine refuses keyed calls on a store of this Home in the context, because they might wait for the transaction.
func WithinTransaction(ctx context.Context, home any) (context.Context, func()) {
	tx := &openTransaction{home: home}
	tx.open.Store(true)

	return context.WithValue(ctx, openTransactionKey{}, tx), func() { tx.open.Store(false) }
}

// InTransaction reports whether ctx comes from WithinTransaction with this Home, and the transaction is still open. It is false for a nil
// Home.
func InTransaction(ctx context.Context, home any) bool {
	tx, _ := ctx.Value(openTransactionKey{}).(*openTransaction)

	return tx != nil && tx.open.Load() && home != nil && tx.home == home
}

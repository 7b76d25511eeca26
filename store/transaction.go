package store

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Transactional is implemented by stores that write the record in the database transaction in which the handler writes its own rows. Both
// commit, or neither does. Only such a store can hold the ExactlyOnce guarantee.
//
// There are two ways:
//   - Single: the claim, the handler's rows and the outcome commit together. See [Transactional.Begin].
//   - Joined: the claim is leased as on any store. Its completion is written in a transaction that the handler opens by itself. See
//     [Transactional.Join].
type Transactional interface {
	// Inspector reads the record that a handler's transaction has left behind.
	Inspector

	// Begin opens a transaction and makes a claim in it. If the claim has won, Applied is true and the transaction is open. Otherwise the
	// Transaction is nil, and the Result has the record.
	//
	// If another transaction holds the record, Begin waits for its end, at most for wait, and then returns the record as it is. The error
	// matches ErrBusy if the other transaction has not ended, and ErrFull if the store has no room for another transaction. After any
	// error there is no transaction, and nothing has changed.
	//   - The transaction does not end with ctx.
	//   - If ctx is cancelled before its deadline, the caller has gone: Begin stops waiting for room. It may let a statement that it has
	//     sent to the database go on until the deadline, because an interruption would cost the connection.
	Begin(ctx context.Context, op Claim, wait time.Duration) (Result, Transaction, error)
	// Join returns a context for the handler of a leased run. The handler uses it to write the completion of the run in a transaction of
	// its own.
	Join(ctx context.Context, run Joinable) context.Context
}

// Transaction is an open transaction in which a claim has won. It is used by one goroutine, and ended once, by Complete or by
// Rollback.
type Transaction interface {
	// Context returns a context in which the handler finds the transaction.
	Context(ctx context.Context) context.Context
	// Complete records the outcome and commits. If undo is set, it first rolls the handler's writes back, and the outcome commits without
	// them. That may be another transaction: if somebody else has taken the record in between, the Result is not Applied.
	//   - Applied means that the transaction has surely committed.
	//   - A Result that is not Applied has the record that somebody else has left meanwhile.
	//   - An error that matches ErrRolledBack promises that nothing has been committed and nothing will be.
	//   - An error that matches ErrConflict too promises the same, and another try may succeed.
	//   - A *RefusedError matches ErrRolledBack too. The database refused to commit the handler's writes.
	//   - After any other error nobody knows.
	Complete(ctx context.Context, op Completion, undo bool) (Result, error)
	// Rollback ends the transaction and leaves nothing behind, even if the database cannot be reached.
	//   - Held means that the record was surely the transaction's until now. Otherwise the database may have ended the transaction before,
	//     such as for a lost connection or an error of a statement, and another run may have begun since then.
	//   - An error means that the store is not sure of the rollback: a statement of the handler may have committed its writes. The outcome
	//     of the run is unknown then.
	Rollback() (held bool, err error)
	// Conflicted reports that the transaction cannot commit because of another one, such as after a deadlock or a serialization failure.
	// Another run of the handler may succeed. Err is the error that the handler has returned, or nil.
	Conflicted(err error) bool
	// Used reports whether the handler has taken the transaction from its context and, as far as the store can see, used it. It stays
	// true from then on, also after the transaction has ended. A handler that never used it wrote its rows somewhere else, where they do
	// not commit with the record.
	Used() bool
}

// Joinable is a leased run whose completion a handler may write in its own transaction.
type Joinable interface {
	// Outcome classifies the answer of the handler: response and err are the results that it is about to return.
	//   - Definite is false if nothing may be recorded.
	//   - Keep is true if the writes of a handler that returns an error are to be kept.
	//   - Problem is the reason why an answer cannot be recorded.
	Outcome(response any, err error) (op Completion, definite, keep bool, problem error)
	// Written reports to the run that its completion has been written in a transaction that may commit. Applied is false if the record is
	// not the run's own any more: nothing was written, and the transaction must not commit.
	Written(applied bool)
	// Refusal is nil if the run may write its completion in a transaction of the handler. Otherwise it is an error that states why not,
	// and what to do. The store returns it to a handler that tries, and begins no transaction. Ctx is the context of the attempt to join:
	// in the context of a run inside this one, Refusal is not nil. It does not change during a run.
	Refusal(ctx context.Context) error
}

// RefusedError is the error of Transaction.Complete if the database refused to commit what the handler wrote, such as for a deferred
// constraint. The transaction was surely rolled back, and nothing is left of it, so the error matches ErrRolledBack. The store is not
// down: the ending is the handler's own, and another try of it is likely to end in the same way.
type RefusedError struct {
	// Err is the database driver's error. It is not nil.
	Err error
}

// Error states what happened and why the database refused.
func (e *RefusedError) Error() string {
	return "store: the database refused to commit what the handler wrote, and rolled it back: " + e.Err.Error()
}

// Unwrap returns the driver's error, so that errors.As finds it.
func (e *RefusedError) Unwrap() error { return e.Err }

// Is reports whether target is ErrRolledBack.
func (e *RefusedError) Is(target error) bool { return target == ErrRolledBack }

var (
	// ErrBusy is matched by errors about a record that is held by the transaction of another run.
	ErrBusy = errors.New("store: the record is held by another transaction")
	// ErrRolledBack is matched by errors of a transaction of which nothing is left.
	ErrRolledBack = errors.New("store: the transaction was rolled back")
	// ErrConflict is matched by errors of a transaction that was rolled back because of another one. Another try may succeed.
	ErrConflict = errors.New("store: the transaction conflicted with another one")
)

// openTransaction is a transaction of a handler's own that is open.
type openTransaction struct {
	home any
	open atomic.Bool
}

type openTransactionKey struct{}

// WithinTransaction returns the context of code that runs while a transaction of a handler's own is open on the database of a store with
// this Home, and a function that ends the time. The engine refuses keyed calls on such a store in that context: they might wait for the
// transaction.
func WithinTransaction(ctx context.Context, home any) (context.Context, func()) {
	tx := &openTransaction{home: home}
	tx.open.Store(true)

	return context.WithValue(ctx, openTransactionKey{}, tx), func() { tx.open.Store(false) }
}

// InTransaction reports whether a transaction is open around ctx on the database of a store with this Home: see WithinTransaction.
func InTransaction(ctx context.Context, home any) bool {
	tx, _ := ctx.Value(openTransactionKey{}).(*openTransaction)

	return tx != nil && tx.open.Load() && home != nil && tx.home == home
}

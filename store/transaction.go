package store

import (
	"context"
	"errors"
	"time"
)

// Transactional is implemented by stores that write the record in the very database transaction in which the handler writes
// its own rows, so that both commit or neither. Only such a store can hold the ExactlyOnce guarantee.
//
// There are two ways. In a single transaction, the claim, the handler's rows and the outcome commit together: [Transactional.Begin].
// Joined, the claim is leased as on any store, and its completion is written in a transaction that the handler opens by
// itself: [Transactional.Join].
type Transactional interface {
	// Inspector lets the engine see what a handler's transaction has left behind.
	Inspector

	// Begin opens a transaction and makes a claim in it. Where the claim has won, Applied is true and the transaction is open;
	// otherwise the Transaction is nil, and the Result says what the record is.
	//
	// Where another transaction holds the record, Begin waits for its end, but not for longer than wait, and answers what has
	// become of the record by then. The error matches ErrBusy where the other has not ended, and ErrFull where the store has
	// no room for another transaction. After any error there is no transaction, and nothing has changed. The transaction does
	// not end with ctx.
	//
	// Where ctx is cancelled before its deadline, the caller has gone. Begin then waits no longer for room. It need not break off what
	// it has asked the database, which would cost a connection: the deadline bounds that.
	Begin(ctx context.Context, op Claim, wait time.Duration) (Result, Transaction, error)
	// Join returns a context by which the handler of a leased run finds what it needs to write the completion of the run in
	// a transaction of its own.
	Join(ctx context.Context, run Joinable) context.Context
}

// Transaction is an open transaction in which a claim has won. It is used by one goroutine, and ended once, by Complete or by
// Rollback.
type Transaction interface {
	// Context returns a context by which the handler finds the transaction.
	Context(ctx context.Context) context.Context
	// Complete records the outcome and commits. Where undo is set, the handler's writes are rolled back before, and the outcome
	// commits without them.
	//
	// Applied means that the transaction has surely committed. A Result that is not Applied is a record that somebody else
	// has left meanwhile. An error that matches ErrRolledBack promises that nothing has been committed and nothing will be; one
	// that matches ErrConflict as well, that another try may succeed. After any other error nobody knows.
	Complete(ctx context.Context, op Completion, undo bool) (Result, error)
	// Rollback ends the transaction and leaves nothing behind, whether or not the database can be told.
	Rollback()
	// Conflicted reports that the transaction cannot commit because of another one, such as after a deadlock or a serialization
	// failure, so that it is worthwhile to run the handler again. Err is what the handler has returned, or nil.
	Conflicted(err error) bool
}

// Joinable is a leased run whose completion a handler may write in its own transaction.
type Joinable interface {
	// Outcome says what the handler's answer means: response and err are what it is about to return. Definite is false where
	// nothing may be recorded, and keep is true where the writes of a handler that returns an error are to be kept. The problem is an
	// answer that cannot be recorded.
	Outcome(response any, err error) (op Completion, definite, keep bool, problem error)
	// Written tells the run that the completion has been written in a transaction that may commit; applied is false where the
	// record is not the run's own any more, so that nothing was written and the transaction must not commit.
	Written(applied bool)
}

var (
	// ErrBusy is matched by errors about a record that is held by the transaction of another run.
	ErrBusy = errors.New("store: the record is held by another transaction")
	// ErrRolledBack is matched by errors of a transaction of which nothing is left.
	ErrRolledBack = errors.New("store: the transaction was rolled back")
	// ErrConflict is matched by errors of a transaction that was rolled back because of another one. Another try may succeed.
	ErrConflict = errors.New("store: the transaction conflicted with another one")
)

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce/store"
)

// Execer executes a statement in a transaction. [sql.Tx] is one. For other libraries see ExecFunc.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// ExecFunc is a function that is an Execer, and returns how many rows are affected. With pgx:
//
//	sqlstore.ExecFunc(func(ctx context.Context, query string, args ...any) (int64, error) {
//		tag, err := tx.Exec(ctx, query, args...)
//		return tag.RowsAffected(), err
//	})
type ExecFunc func(ctx context.Context, query string, args ...any) (rowsAffected int64, err error)

// ExecContext calls the function.
func (f ExecFunc) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	n, err := f(ctx, query, args...)

	return driver.RowsAffected(n), err
}

var (
	// ErrOvertaken is matched by errors about a run whose record is not its own any more: another run has taken the key over, or
	// somebody has settled it. The transaction has to be rolled back.
	ErrOvertaken = errors.New("sqlstore: this run was overtaken: roll its transaction back")
	// ErrNotDefinite is matched by errors about an answer that may not be recorded.
	ErrNotDefinite = errors.New("sqlstore: this answer is not definite, so it cannot be recorded")
	// ErrNotJoined is matched by errors about a run that may not join a transaction. The error says which setting of its policy to change.
	ErrNotJoined = errors.New("sqlstore: this run may not write its completion in a transaction of the handler's")
	// ErrNoRun is matched by errors about a call that has no run to join: it has no key, or its method has no policy.
	ErrNoRun = errors.New("sqlstore: this call has no run that could be joined: require a key for its method, " +
		"or allow a plain transaction with sqlstore.OptionalRun")
)

// errSingle is why a run with a single transaction may not join, where the run does not say so itself.
var errSingle = errors.New("it has a single transaction: use sqlstore.Tx, or give its method a joined transaction")

type (
	joinKey     struct{}
	optionalKey struct{}
)

// joined is a run that may write its completion by itself.
type joined struct {
	store *Store
	run   store.Joinable
}

// Join implements [store.Transactional].
func (s *Store) Join(ctx context.Context, run store.Joinable) context.Context {
	if run.Refusal(ctx) == nil {
		// The transaction of a run around this one is not this one's.
		ctx = context.WithValue(ctx, transactionKey{}, nil)
	}

	return context.WithValue(ctx, joinKey{}, &joined{store: s, run: run})
}

// OptionalRun returns a context in which Join and InTx need no run, for handlers that also serve calls without a key: InTx is a plain
// transaction there, and Join writes nothing. It changes nothing inside a run, and a run that may not join is refused all the same.
func OptionalRun(ctx context.Context) context.Context {
	return context.WithValue(ctx, optionalKey{}, true)
}

// joinedRun finds the run of a context. It is nil where there is none, and OptionalRun allows that.
func joinedRun(ctx context.Context) (*joined, error) {
	j, _ := ctx.Value(joinKey{}).(*joined)
	if j != nil {
		if refusal := j.run.Refusal(ctx); refusal != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotJoined, refusal)
		}
	}

	if _, single := ctx.Value(transactionKey{}).(*transaction); single {
		return nil, fmt.Errorf("%w: %w", ErrNotJoined, errSingle)
	}

	if optional, _ := ctx.Value(optionalKey{}).(bool); j == nil && !optional {
		return nil, ErrNoRun
	}

	return j, nil
}

// Join writes the completion of a joined run in the handler's own transaction: response is what the handler will return, and
// what duplicates will get. It is the last statement before the commit, and it locks the record until then. The transaction is
// of the database that has the store's table.
//
// When Join has succeeded and the transaction commits, the call is completed, whatever the handler returns. An error that
// matches ErrOvertaken, like any other, means that the transaction has to be rolled back. Join fails with ErrNotJoined in a run whose
// policy is another, and with ErrNoRun outside of any run, unless OptionalRun allows that: there is nothing to write then.
func Join(ctx context.Context, tx Execer, response any) error {
	j, err := joinedRun(ctx)
	if j == nil || err != nil {
		return err
	}

	op, _, err := j.outcome(response, nil)
	if err != nil {
		return err
	}

	return j.write(ctx, tx, op)
}

// outcome is the completion for an answer, or nil for an error that is not definite. It reports whether the writes of a handler are to be
// kept that answers with an error.
func (j *joined) outcome(response any, answer error) (op *store.Completion, keep bool, err error) {
	completion, definite, keep, err := j.run.Outcome(response, answer)

	switch {
	case err != nil:
		return nil, false, fmt.Errorf("%w: %w", ErrNotDefinite, err)
	case definite:
		return &completion, keep, nil
	case answer == nil:
		return nil, false, ErrNotDefinite
	default:
		return nil, false, nil
	}
}

// write writes a completion.
func (j *joined) write(ctx context.Context, tx Execer, op *store.Completion) error {
	written, err := j.store.joins(ctx, tx, op)
	if err == nil && !written && !hasReceipt(op) {
		written, err = j.store.joinsNoted(ctx, tx, *op)
	}

	if err != nil {
		return err
	}

	j.run.Written(written)

	if !written {
		return ErrOvertaken
	}

	return nil
}

// joins executes the statement that joins, and reports whether it has completed the record.
func (s *Store) joins(ctx context.Context, tx Execer, op *store.Completion) (bool, error) {
	query, args := s.joining(op)

	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}

	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("sqlstore: the driver does not report the rows affected: %w", err)
	}

	return n == 1, nil
}

// joinsNoted is joins for a run without a receipt, whose record may have a note. The record is read outside of the transaction: its note
// stays as long as the run goes on.
func (s *Store) joinsNoted(ctx context.Context, tx Execer, op store.Completion) (bool, error) {
	res, err := s.Lookup(ctx, op.Key)
	if err != nil {
		return false, err
	}

	if rec := &res.Record; rec.State != store.Running || rec.Token != op.Token || len(rec.Outcome) == 0 {
		return false, nil
	}

	op.Receipt = receiptFor(&op.Key, &res.Record)

	return s.joins(ctx, tx, &op)
}

// joining is the statement that joins, with its arguments, which are not numbered in MySQL. If the store sends notifications, the statement
// sends one, which PostgreSQL delivers after the commit.
func (s *Store) joining(op *store.Completion) (query string, args []any) {
	args = completionArgs(op)

	switch {
	case s.channel != "":
		return s.sql.joinTelling, append(args, s.channel, op.Key.String())
	case s.dialect != MySQL:
		return s.sql.join, args
	}

	key, token, outcome, seal, note, retention, size := args[0], args[1], args[2], args[3], args[4], args[5], args[6]

	return s.sql.join, []any{outcome, seal, retention, retention, retention, key, token, note, size}
}

// conflictTries is how often InTx runs its function again that conflicted with another transaction.
const conflictTries = 3

// InTx runs a function in a transaction on db, which is the database that has the store's table, and commits what it has written
// together with the completion of the joined run that ctx belongs to. An error of the function rolls its writes back, unless it is definite
// and [github.com/onlyonce-go/onlyonce.KeepWrites] marks it: then it commits with them. The engine records any other definite error when
// the handler has returned it: if the process dies between the rollback and that, the call may run again after the lease.
//
// Where the transaction conflicts with another, the function is run again, three times at most. At REPEATABLE READ or SERIALIZABLE in
// PostgreSQL it must take less than a third of the lease, or it conflicts with a renewal each time.
//
// The function must not end the transaction, and returns the errors by which the database has ended it, such as a deadlock in MySQL
// and an interrupted write in SQLite: what it writes after one is committed statement by statement, and no completion is.
//
// Where the database refuses at COMMIT what the function has written, such as for a deferred constraint, all of it is rolled back, and InTx
// returns the driver's error, or what [WithCommitError] makes of it.
//
// Return what InTx returns. Options may be nil. InTx fails with ErrNotJoined in a run whose policy is another, and with ErrNoRun outside of
// any run, unless OptionalRun allows that: it is a plain transaction then.
func InTx[T any](ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(ctx context.Context, tx *sql.Tx) (T, error)) (T, error) {
	j, err := joinedRun(ctx)
	if err != nil {
		var none T

		return none, err
	}

	for try := 0; ; try++ {
		response, again, err := inTx(ctx, db, opts, j, fn)
		if !again || try == conflictTries || !pause(ctx, try) {
			return response, err
		}
	}
}

func inTx[T any](
	ctx context.Context, db *sql.DB, opts *sql.TxOptions, j *joined, fn func(ctx context.Context, tx *sql.Tx) (T, error),
) (response T, again bool, err error) {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return response, false, fmt.Errorf("sqlstore: begin: %w", err)
	}
	defer rollBack(ctx, tx) // fails where it has committed

	if j != nil && j.store.dialect != PostgreSQL {
		if _, err := tx.ExecContext(ctx, j.store.save); err != nil {
			return response, false, fmt.Errorf("sqlstore: savepoint: %w", err)
		}
	}

	inside, end := j.inside(ctx)
	response, answer := fn(inside, tx)

	end()

	if answer != nil && j != nil && j.store.conflicts(answer) {
		return response, true, answer
	}

	commit, err := j.finish(ctx, tx, response, answer)

	switch {
	case err != nil:
		return response, j != nil && j.store.conflicts(err), err
	case !commit:
		return response, false, answer
	}

	switch err := waitForEnd(ctx, tx.Commit); {
	case err == nil:
		return response, false, answer
	case j == nil || !j.store.dialect.refuses(err) || j.store.conflicts(err):
		return response, j != nil && j.store.conflicts(err), fmt.Errorf("sqlstore: commit: %w", err)
	case j.store.commitError == nil:
		return response, false, fmt.Errorf("sqlstore: the database refuses what was written: %w", err)
	default:
		return response, false, j.store.handlersError(err)
	}
}

// inside is the context of the function of InTx: keyed calls on the same store might wait for its transaction.
func (j *joined) inside(ctx context.Context) (context.Context, func()) {
	if j == nil {
		return ctx, func() {}
	}

	return store.WithinTransaction(ctx, j.store.Capabilities().Home)
}

// finish writes what the record gets, and reports whether to commit. If not, the answer is the function's, and its writes are rolled back.
func (j *joined) finish(ctx context.Context, tx *sql.Tx, response any, answer error) (commit bool, err error) {
	if j == nil {
		return answer == nil, nil
	}

	op, keep, err := j.outcome(response, answer)

	switch {
	case err != nil:
		return false, err
	case op == nil, answer != nil && !keep:
		return false, j.standsToRollBack(ctx, tx, answer, op != nil)
	}

	if err := j.standsToCommit(ctx, tx); err != nil {
		return false, err
	}

	return true, j.write(ctx, tx, op)
}

// The function has a [sql.Tx], so the store does not see its statements, some of which may have ended the transaction: in MySQL a change of
// the schema, in SQLite an error. What follows would commit statement by statement. So in MySQL and SQLite there is a savepoint in front of
// the function, and what is to commit is written only while that savepoint is there. PostgreSQL ends no transaction by itself, and a
// savepoint would cost it a statement and a transaction ID in each call. There the store looks for the transaction on the way of failure
// alone.

// standsToCommit fails if the transaction has ended, where that may happen unnoticed.
func (j *joined) standsToCommit(ctx context.Context, tx *sql.Tx) error {
	if j.store.dialect == PostgreSQL {
		return nil
	}

	_, err := tx.ExecContext(ctx, j.store.keep)

	return err
}

// standsToRollBack fails if the transaction has ended, since then what the function wrote may have committed, and its word that nothing was
// done counts for nothing. An error may have ended a transaction of SQLite, which has rolled it back.
func (j *joined) standsToRollBack(ctx context.Context, tx *sql.Tx, answer error, definite bool) error {
	look := j.store.undo
	if j.store.dialect == PostgreSQL {
		look = j.store.save // which is refused outside of a transaction
	}

	_, err := tx.ExecContext(ctx, look)

	// The function has committed by tx.Commit, unless database/sql has rolled back when ctx ended.
	committed := errors.Is(err, sql.ErrTxDone) && ctx.Err() == nil

	switch {
	case committed, j.store.dialect.noSavepoint(err) && (definite || j.store.dialect != SQLite):
		return fmt.Errorf("sqlstore: %w; the function has returned: %v", errEnded, answer) //nolint:errorlint // without its marks
	case definite && sqlState(err) != stateFailed: // which only a transaction has
		return err // nobody can tell, and the error would be recorded as the outcome
	default:
		return nil
	}
}

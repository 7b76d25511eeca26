package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce/store"
)

// Execer executes a statement in a transaction. [sql.Tx] implements it. For other libraries see ExecFunc.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// ExecFunc is a function that implements Execer. It returns the number of affected rows. With pgx:
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
	// ErrOvertaken is matched by the error about a run that no longer owns its record: another run took over, or somebody settled it. The
	// transaction must be rolled back.
	ErrOvertaken = errors.New("sqlstore: this run was overtaken: roll its transaction back")
	// ErrNotDefinite is matched by the error about a result that may not be recorded.
	ErrNotDefinite = errors.New("sqlstore: this answer is not definite, so it cannot be recorded")
	// ErrNotJoined is matched by the error about a run that may not join a transaction. The text names the setting of its policy to change.
	ErrNotJoined = errors.New("sqlstore: this run may not write its completion in a transaction of the handler's")
	// ErrNoRun is matched by the error about a call without a run to join: it has no key, or its method has no policy.
	ErrNoRun = errors.New("sqlstore: this call has no run that could be joined: require a key for its method, " +
		"or allow a plain transaction with sqlstore.OptionalRun")
)

// errSingle is why a run with a single transaction may not join, if the run itself gives no reason.
var errSingle = errors.New("it has a single transaction: use sqlstore.Tx, or give its method a joined transaction")

type (
	joinKey     struct{}
	optionalKey struct{}
)

// joined is a run that may write its completion itself.
type joined struct {
	store *Store
	run   store.Joinable
}

// Join implements [store.Transactional].
func (s *Store) Join(ctx context.Context, run store.Joinable) context.Context {
	if run.Refusal(ctx) == nil {
		// The transaction of an outer run is not this run's.
		ctx = context.WithValue(ctx, transactionKey{}, nil)
	}

	return context.WithValue(ctx, joinKey{}, &joined{store: s, run: run})
}

// OptionalRun returns a context in which Join and InTx need no run, for handlers that also serve calls without a key. Without a run, InTx
// is a plain transaction, and Join writes nothing. Inside a run the context changes nothing: a run that may not join is still refused.
func OptionalRun(ctx context.Context) context.Context {
	return context.WithValue(ctx, optionalKey{}, true)
}

// joinedRun returns the run of a context. It returns nil if there is none and OptionalRun allows that.
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

// Join writes the completion of a joined run in the handler's own transaction. Response is what the handler will return and duplicates will
// get. Call Join as the last statement before the commit: it locks the record until then. The transaction must be on the database with the
// store's table.
//
// After Join has succeeded and the transaction has committed, the call is completed, whatever the handler returns. After any error the
// handler must roll the transaction back.
//   - ErrOvertaken: the run no longer owns its record.
//   - ErrNotJoined: the policy of the run does not allow it.
//   - ErrNotDefinite: the response cannot be recorded.
//   - ErrNoRun: there is no run. With OptionalRun, Join then writes nothing and returns nil.
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

// outcome returns the completion for an answer, or nil for an error that is not definite. Keep reports whether to keep the writes of a
// handler that returns an error.
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

// joins executes the statement that joins, and reports whether it completed the record.
func (s *Store) joins(ctx context.Context, tx Execer, op *store.Completion) (bool, error) {
	query, args := s.joining(op)

	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}

	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("sqlstore: join: reading the number of affected rows: %w", err)
	}

	return n == 1, nil
}

// joinsNoted is joins for a run without a receipt, whose record may have a note. It reads the record outside of the transaction. The note
// does not change during the run.
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

// joining returns the statement that joins, with its arguments, which are not numbered in MySQL. If the store sends notifications, the
// statement sends one. PostgreSQL delivers it after the commit.
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

// conflictTries is how often InTx calls its function again if the transaction conflicts with another one.
const conflictTries = 3

// InTx calls fn in a transaction on db, and commits its writes together with the completion of the joined run of ctx. Db must be the
// database with the store's table. Opts may be nil. The handler should return what InTx returns.
//
//   - An error of fn rolls its writes back. A definite error that [github.com/onlyonce-go/onlyonce.KeepWrites] marks commits together with
//     them. The engine records any other definite error after the handler has returned it. If the process dies before that, the call may
//     run again after the lease.
//   - If the transaction conflicts with another one, InTx calls fn again, at most three times. In PostgreSQL at REPEATABLE READ or
//     SERIALIZABLE fn must take less than a third of the lease, or every try conflicts with a renewal.
//   - Fn must not end the transaction. It must return the errors that end it, such as a deadlock in MySQL or an interrupted write in
//     SQLite. Later statements would commit one by one, and no completion would be written.
//   - If the database refuses the commit, such as for a deferred constraint, all is rolled back. InTx then returns the driver's error, or
//     the error that [WithCommitError] makes of it.
//   - InTx returns ErrNotDefinite if the result of fn cannot be recorded, and ErrOvertaken if the run no longer owns its record.
//   - InTx returns ErrNotJoined if the policy of the run does not allow it, and ErrNoRun outside of any run. With OptionalRun it is a plain
//     transaction there.
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
	defer rollBack(ctx, tx) // without effect after a commit

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
		return response, false, fmt.Errorf("sqlstore: commit: the database refused the writes: %w", err)
	default:
		return response, false, j.store.handlersError(err)
	}
}

// inside returns the context for fn. Keyed calls on the same store are refused in it, because they might wait for its transaction.
func (j *joined) inside(ctx context.Context) (context.Context, func()) {
	if j == nil {
		return ctx, func() {}
	}

	return store.WithinTransaction(ctx, j.store.Capabilities().Home)
}

// finish writes the outcome, and reports whether to commit. Otherwise the answer is fn's own, and its writes are rolled back.
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

// The store does not see the statements of a function with a [sql.Tx]. Some may have ended the transaction: a change of the schema in
// MySQL, an error in SQLite. Later statements would commit one by one. So in MySQL and SQLite a savepoint precedes the function, and the
// outcome is written only if the savepoint still exists. PostgreSQL ends no transaction by itself, and a savepoint would cost each call a
// statement and a transaction ID. There the store looks for the transaction only after a failure.

// standsToCommit returns an error if the transaction has ended, in dialects where that may go unnoticed.
func (j *joined) standsToCommit(ctx context.Context, tx *sql.Tx) error {
	if j.store.dialect == PostgreSQL {
		return nil
	}

	_, err := tx.ExecContext(ctx, j.store.keep)

	return err
}

// standsToRollBack returns an error if the transaction has ended. Its writes may then have committed, and the function's claim that nothing
// happened does not count. An error that ended a transaction of SQLite has rolled it back.
func (j *joined) standsToRollBack(ctx context.Context, tx *sql.Tx, answer error, definite bool) error {
	probe := j.store.undo
	if j.store.dialect == PostgreSQL {
		probe = j.store.save // which fails outside of a transaction
	}

	_, err := tx.ExecContext(ctx, probe)

	// The function committed by tx.Commit, unless database/sql rolled back when ctx ended.
	committed := errors.Is(err, sql.ErrTxDone) && ctx.Err() == nil

	switch {
	case committed, j.store.dialect.noSavepoint(err) && (definite || j.store.dialect != SQLite):
		return fmt.Errorf("sqlstore: %w; the function returned: %v", errEnded, answer) //nolint:errorlint // without the marks of the answer
	case definite && sqlState(err) != stateFailed: // this state exists only in a transaction
		return err // nobody knows, and the error would be recorded as the outcome
	default:
		return nil
	}
}

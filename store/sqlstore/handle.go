package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce/store"
)

// DBTX is the single transaction of a handler: the methods of [sql.Tx] except its end. sqlc generates the same interface under this name,
// and gorm calls it a ConnPool.
type DBTX interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

var (
	// ErrNoTransaction is matched by the errors of every statement if the handler has no single transaction: the call has no key, its method
	// has another policy, or the method is in shadow mode. A method that needs the transaction must require a key, and ExactlyOnce.
	ErrNoTransaction = errors.New("sqlstore: this call has no transaction: " +
		"require a key for its method, set EXACTLY_ONCE in a single transaction, and switch shadow mode off")
	// ErrOver is matched by the errors of statements after the handler has returned, or after an error has ended the transaction.
	ErrOver = errors.New("sqlstore: the transaction of this run is over")
	// ErrEndsTransaction is matched by the errors of statements that would begin or end a transaction. They are not sent.
	ErrEndsTransaction = errors.New("sqlstore: a handler must not begin or end its single transaction: " +
		"return a response to commit it, or an error to roll it back")
)

type transactionKey struct{}

// Tx returns the single transaction of the handler with this context. It is never nil. If there is no transaction, each statement fails
// with ErrNoTransaction. What the handler writes commits together with the record of the call, or not at all.
//   - Use the transaction in one goroutine. It ends when the handler returns. It is rolled back if the handler's context ends during a
//     statement.
//   - Return the errors of statements, of rows and of prepared statements. After some errors MySQL and SQLite have ended the transaction,
//     and would commit every later statement by itself. The transaction refuses statements after such an error, unless only [sql.Rows],
//     [sql.Row.Scan] or a [sql.Stmt] saw it.
//   - For the same reason do not run handlers with innodb_rollback_on_timeout.
//   - A statement that begins or ends a transaction fails with ErrEndsTransaction. The page docs/databases.md has the other
//     statements that a handler must not send.
func Tx(ctx context.Context) DBTX {
	t, ok := ctx.Value(transactionKey{}).(*transaction)
	if !ok {
		return refusing{ErrNoTransaction}
	}

	return handle{t}
}

// Context implements [store.Transaction].
func (t *transaction) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, transactionKey{}, t)
}

// handle is the transaction for its handler.
type handle struct{ t *transaction }

// refuses returns why the transaction takes no more statements, or nil. MySQL ends the transaction after a deadlock, and SQLite after some
// errors. Both would commit every later statement by itself.
func (h handle) refuses() error {
	h.t.mu.Lock()
	defer h.t.mu.Unlock()

	if h.t.conflict != nil {
		return h.t.conflict
	}

	if h.t.gone != nil {
		return h.t.gone
	}

	if h.t.over {
		return ErrOver
	}

	return nil
}

// sending notes the effect of a statement on the transaction. It returns why the statement must not be sent, or nil.
func (h handle) sending(ctx context.Context, query string) error {
	if err := h.refuses(); err != nil {
		return err
	}

	h.t.used.Store(true)

	switch h.t.store.dialect.effectOf(query) {
	case ends:
		return fmt.Errorf("%w: %.60q", ErrEndsTransaction, query)
	case mayEnd:
		if err := h.save(ctx); err != nil {
			return err
		}

		h.t.suspect.Store(true)
	case marks:
		return h.save(ctx) // first, so that the handler has no savepoint before it
	case stays:
	}

	return nil
}

// save makes the savepoint that shows later whether the transaction has ended, unless it exists.
func (h handle) save(ctx context.Context) error {
	if h.t.saved.Load() {
		return nil
	}

	_, err := h.t.tx.ExecContext(ctx, h.t.store.save)
	if err == nil {
		h.t.saved.Store(true)
	}

	return h.note(ctx, err)
}

// unseen notes that the errors of a statement go only to the handler.
func (h handle) unseen() {
	h.t.unseen.Store(true)

	if h.t.store.dialect != PostgreSQL { // PostgreSQL ends no transaction because of an error
		h.t.blind.Store(true)
	}
}

// failed keeps the first error of the handler's statements. In MySQL it may have ended the transaction, such as with
// innodb_rollback_on_timeout.
func (h handle) failed(err error) {
	h.t.mu.Lock()
	defer h.t.mu.Unlock()

	if h.t.failed == nil {
		h.t.failed = err
	}

	if h.t.store.dialect == MySQL {
		h.t.blind.Store(true)
	}
}

// note keeps what the error of a statement means for the transaction.
func (h handle) note(ctx context.Context, err error) error {
	if err != nil {
		h.failed(err)
	}

	switch {
	case err == nil:
	case h.t.store.conflicts(err):
		h.t.mu.Lock()
		defer h.t.mu.Unlock()

		h.t.conflict = err
	case h.t.store.dialect.conflicts(err), h.t.store.dialect == SQLite && h.ended(ctx):
		h.t.mu.Lock()
		defer h.t.mu.Unlock()

		h.t.gone = fmt.Errorf("%w: an error has ended it: %w", ErrOver, err)
	}

	return err
}

// ended reports whether an error of SQLite has ended the transaction, such as an interrupted write, a full disk, or OR ROLLBACK. Only then
// can another be begun, which is rolled back at once.
func (h handle) ended(ctx context.Context) bool {
	_, err := h.t.tx.ExecContext(context.WithoutCancel(ctx), "BEGIN")

	return err == nil
}

// ExecContext implements DBTX.
func (h handle) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := h.sending(ctx, query); err != nil {
		return nil, err
	}

	res, err := h.t.tx.ExecContext(ctx, query, args...)

	return res, h.note(ctx, err)
}

// QueryContext implements DBTX.
func (h handle) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := h.sending(ctx, query); err != nil {
		return nil, err
	}

	h.unseen()

	rows, err := h.t.tx.QueryContext(ctx, query, args...)

	return rows, h.note(ctx, err)
}

// QueryRowContext implements DBTX.
func (h handle) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := h.sending(ctx, query); err != nil {
		return refusing{err}.QueryRowContext(ctx, query)
	}

	h.unseen()

	row := h.t.tx.QueryRowContext(ctx, query, args...)
	_ = h.note(ctx, row.Err()) // the row has it, too

	return row
}

// PrepareContext implements DBTX.
func (h handle) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := h.sending(ctx, query); err != nil {
		return nil, err
	}

	h.unseen()

	stmt, err := h.t.tx.PrepareContext(ctx, query)

	return stmt, h.note(ctx, err)
}

// refusing fails every statement with its error.
type refusing struct{ err error }

func (r refusing) ExecContext(context.Context, string, ...any) (sql.Result, error) { return nil, r.err }
func (r refusing) QueryContext(context.Context, string, ...any) (*sql.Rows, error) { return nil, r.err }
func (r refusing) PrepareContext(context.Context, string) (*sql.Stmt, error)       { return nil, r.err }
func (r refusing) Connect(context.Context) (driver.Conn, error)                    { return nil, r.err }
func (r refusing) Driver() driver.Driver                                           { return nil }

// QueryRowContext implements DBTX. Only a database can make a row, so it uses a database without connections.
func (r refusing) QueryRowContext(ctx context.Context, query string, _ ...any) *sql.Row {
	db := sql.OpenDB(r)
	defer func() { _ = db.Close() }() // it has no connections

	return db.QueryRowContext(ctx, query)
}

var (
	_ store.Transactional = (*Store)(nil)
	_ driver.Connector    = refusing{}
)

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// Statement is one of several that a Pipeline sends together.
type Statement struct {
	// Query and Args are the statement, with the placeholders of PostgreSQL.
	Query string
	Args  []any
	// Targets are what the first row of the answer is scanned into, as by [sql.Rows.Scan]. Without them the answer is not
	// read.
	Targets []any
	// Found is set by the Pipeline where there was a row for the targets.
	Found bool
	// Done is set by the Pipeline when the database has executed the statement without an error, with a row or without.
	Done bool
}

// Pipeline sends statements in their order on one connection, without waiting for the answer of each, and reads the answers: one round
// trip for all of them. The connection is what the database driver has made ([sql.Conn.Raw]).
//
// Nothing is executed after a statement that has failed, whose error is returned, and nothing is committed but by a statement that says
// so. Where a statement has failed in the transaction before, the first of several is a rollback, and what prepares the others waits
// until it is executed. The error matches [driver.ErrBadConn] only where nothing was sent, and is [driver.ErrSkip] for the connection
// of a driver that the Pipeline does not know.
type Pipeline func(ctx context.Context, conn any, statements []Statement) error

// WithPipeline lets single transactions send statements that follow each other in one round trip: what begins the transaction and
// claims the key is one, and what records the outcome and commits is another. The run of a
// new key takes as many round trips then as its handler's transaction would by itself, once the driver has prepared the statements. It
// prepares them again after one of them has failed, as when a duplicate has waited in vain.
//
// It is for PostgreSQL; package [github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline] has the one for the driver of pgx. Nil is
// none, which is the default. New fails where the pipeline does not know the driver's connections.
func WithPipeline(p Pipeline) Option { return func(c *config) { c.pipeline = p } }

// begins is the statement that begins a transaction, or empty where PostgreSQL has no such level.
func begins(level sql.IsolationLevel) string {
	switch level {
	case sql.LevelDefault:
		return "BEGIN"
	case sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable:
		return "BEGIN ISOLATION LEVEL " + strings.ToUpper(level.String())
	case sql.LevelWriteCommitted, sql.LevelSnapshot, sql.LevelLinearizable:
		return ""
	default:
		return ""
	}
}

// pipelines refuses a pipeline where there can be none.
func (c *config) pipelines(d Dialect) error {
	switch {
	case c.pipeline == nil:
		return nil
	case d != PostgreSQL:
		return fmt.Errorf("sqlstore: WithPipeline is for %v, the database is %v: leave it out", PostgreSQL, d)
	default:
		return nil
	}
}

// checkPipeline tries the pipeline on a connection.
func (s *Store) checkPipeline(ctx context.Context) error {
	if s.pipeline == nil {
		return nil
	}

	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: no connection for the pipeline: %w", err)
	}
	defer func() { _ = conn.Close() }() // nothing is lost with it

	var (
		kind   string
		answer int
		try    = []Statement{{Query: "SELECT 1", Targets: []any{&answer}}}
	)

	err = conn.Raw(func(c any) error {
		kind = fmt.Sprintf("%T", c)

		return s.pipeline(ctx, c, try)
	})

	switch {
	case errors.Is(err, driver.ErrSkip):
		return fmt.Errorf("sqlstore: the pipeline does not know connections of type %s: "+
			"open the database with the driver that the pipeline is for, unwrapped, or leave WithPipeline out", kind)
	case err != nil:
		return fmt.Errorf("sqlstore: the pipeline fails: %w", err)
	case answer != 1 || !try[0].Found || !try[0].Done:
		return errors.New("sqlstore: the pipeline does not read the answers to its statements, or does not report that it has")
	default:
		return nil
	}
}

// pipelined is what a transaction has whose statements are sent together where they follow each other.
//
// It is the driver of a database that has one connection, borrowed from the pool. So its transaction is a [sql.Tx] like any other,
// with all that this takes care of: rows and statements that are left open, statements that come late. But to begin it
// sends nothing, and to commit it sends what is to be sent together.
type pipelined struct {
	send Pipeline
	pool *sql.DB
	conn *sql.Conn   // of the pool
	used driver.Conn // by conn
	tx   *sql.Tx
	life context.Context //nolint:containedctx // that of the transaction

	// The fields below belong to the goroutine that the sql.Tx lets use its connection.

	next []Statement // that the execution of nextStatements sends
	last []Statement // that the commit sends
	// idle says that the connection has no transaction.
	idle bool
}

// nextStatements stands for the statements that are sent together, because database/sql takes one statement.
const nextStatements = "onlyonce: the next statements"

const rollback = "ROLLBACK"

// earlyError is an error of the database before the commit, which it has not executed then.
type earlyError struct{ error }

func (e *earlyError) Unwrap() error { return e.error }

// newPipelined opens a transaction that lasts as long as life, on a connection that ctx bounds the wait for.
func (s *Store) newPipelined(ctx, life context.Context) (*pipelined, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}

	p := &pipelined{send: s.pipeline, pool: s.db, conn: conn, life: life, idle: true}

	err = conn.Raw(func(c any) (err error) {
		if p.used, _ = c.(driver.Conn); p.used == nil {
			err = driver.ErrSkip
		}

		return err
	})
	if err != nil {
		_ = conn.Close() // nothing was done with it

		return nil, err
	}

	db := sql.OpenDB(p)
	p.tx, err = db.BeginTx(life, nil)

	// The connection is closed, which gives the other one back, when the transaction has ended.
	if closed := db.Close(); err == nil {
		err = closed
	}

	return p, err
}

// together sends statements in one round trip.
func (p *pipelined) together(ctx context.Context, statements []Statement) error {
	p.next = statements
	_, err := p.tx.ExecContext(ctx, nextStatements)

	return err
}

// Connect implements [driver.Connector].
func (p *pipelined) Connect(context.Context) (driver.Conn, error) { return borrowed{p}, nil }

// Driver implements [driver.Connector].
func (p *pipelined) Driver() driver.Driver { return p.pool.Driver() }

// borrowed is the connection, and its transaction.
type borrowed struct{ p *pipelined }

// Prepare implements [driver.Conn].
func (b borrowed) Prepare(query string) (driver.Stmt, error) { return b.p.used.Prepare(query) }

// PrepareContext implements [driver.ConnPrepareContext].
func (b borrowed) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if used, ok := b.p.used.(driver.ConnPrepareContext); ok {
		return used.PrepareContext(ctx, query)
	}

	return b.p.used.Prepare(query)
}

// ExecContext implements [driver.ExecerContext].
func (b borrowed) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if query == nextStatements && b.p.next != nil {
		return driver.ResultNoRows, b.sendNext(ctx)
	}

	if used, ok := b.p.used.(driver.ExecerContext); ok {
		return used.ExecContext(ctx, query, args)
	}

	return nil, driver.ErrSkip
}

func (b borrowed) sendNext(ctx context.Context) error {
	next := b.p.next
	b.p.next, b.p.idle = nil, false

	err := b.p.send(ctx, b.p.used, next)
	b.p.idle = err == nil && next[0].Query == rollback

	return err
}

// QueryContext implements [driver.QueryerContext].
func (b borrowed) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if used, ok := b.p.used.(driver.QueryerContext); ok {
		return used.QueryContext(ctx, query, args)
	}

	return nil, driver.ErrSkip
}

// CheckNamedValue implements [driver.NamedValueChecker].
func (b borrowed) CheckNamedValue(value *driver.NamedValue) error {
	if used, ok := b.p.used.(driver.NamedValueChecker); ok {
		return used.CheckNamedValue(value)
	}

	return driver.ErrSkip
}

// Begin implements [driver.Conn].
func (b borrowed) Begin() (driver.Tx, error) { return b, nil }

// BeginTx implements [driver.ConnBeginTx]. The transaction begins with its claim.
func (b borrowed) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return b, nil }

// Commit implements [driver.Tx].
func (b borrowed) Commit() error {
	last := b.p.last

	err := b.p.send(b.p.life, b.p.used, last)
	if err == nil {
		b.p.idle = true

		return nil
	}

	if refused := reported(err) && !goingDown(err); refused {
		_ = b.Rollback() // or the connection is not used again

		if !last[len(last)-2].Done {
			err = &earlyError{err}
		}
	}

	return err
}

// Rollback implements [driver.Tx].
func (b borrowed) Rollback() error {
	if b.p.idle {
		return nil
	}

	_, err := b.ExecContext(b.p.life, rollback, nil)
	if errors.Is(err, driver.ErrSkip) {
		err = b.p.send(b.p.life, b.p.used, []Statement{{Query: rollback}})
	}

	b.p.idle = err == nil

	return err
}

// Close implements [driver.Conn]: it gives the connection back. It is closed unless its transaction has surely ended.
func (b borrowed) Close() error {
	if !b.p.idle {
		_ = b.p.conn.Raw(func(any) error { return driver.ErrBadConn })
	}

	_ = b.p.conn.Close() // as above

	return nil
}

// claimTogether makes the record of a first claim in one round trip with what goes before and comes after it. Where there is a record
// already, it ends the transaction and reads that in another.
func (t *transaction) claimTogether(ctx context.Context, args []any) (made integer, old row, err error) {
	err = t.pipe.together(ctx, []Statement{
		{Query: begins(t.store.isolation)},
		{Query: t.store.sql.insertWithin, Args: args, Targets: []any{&made, new(string)}},
	})

	if err != nil || made != 0 {
		return made, old, err
	}

	return 0, old, t.pipe.together(ctx, []Statement{
		{Query: rollback}, {Query: t.store.sql.read, Args: []any{args[0]}, Targets: old.answer(t.store.dialect)},
	})
}

// completeTogether completes the record and commits in one round trip.
func (t *transaction) completeTogether(ctx context.Context, op *store.Completion) (store.Result, error) {
	err := t.end()
	if err == nil {
		err = ctx.Err()
	}

	if err != nil {
		_, _ = t.rollBack(ctx, false)

		return store.Result{}, t.unwritten(err)
	}

	var (
		at    integer
		early *earlyError
		looks = t.doubted()
	)

	if looks {
		t.pipe.last = append(t.pipe.last, Statement{Query: t.store.keep})
	}

	t.pipe.last = append(t.pipe.last,
		Statement{Query: t.store.sql.completeTogether, Args: t.completeWithinArgs(op), Targets: []any{&at}}, Statement{Query: "COMMIT"})

	switch sure, err := t.commit(ctx); {
	case err == nil:
		return t.completed(op, at), nil
	case errors.As(err, &early):
		if looks && !t.pipe.last[0].Done {
			err = t.looked(err)
		}

		return store.Result{}, t.unwritten(err)
	case sure:
		return store.Result{}, t.uncommitted(err)
	default:
		return t.decide(ctx, err)
	}
}

// recordTogether rolls the transaction back and records its outcome in another, in one round trip. It is not done where there is a record
// already, or where another transaction was in the way.
func (t *transaction) recordTogether(ctx context.Context, op *store.Completion) (_ store.Result, done bool, _ error) {
	var (
		made  integer
		early *earlyError
	)

	t.pipe.last = []Statement{
		{Query: rollback},
		{Query: begins(t.store.isolation)},
		{Query: t.store.sql.record, Args: recordArgs(ctx, &t.claim, op), Targets: []any{&made}},
		{Query: "COMMIT"},
	}

	switch sure, err := t.commit(ctx); {
	case err == nil && made != 0:
		return recorded(&t.claim, op, made), true, nil
	case err == nil, sure, errors.As(err, &early):
		return store.Result{}, false, nil
	default:
		res, err := t.decide(ctx, err)

		return res, true, err
	}
}

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

// Statement is one of the statements that a Pipeline sends together.
type Statement struct {
	// Query is the statement with the placeholders of PostgreSQL, and Args are its arguments.
	Query string
	Args  []any
	// Targets receive the first row of the answer, as by [sql.Rows.Scan]. Without targets the answer is not read.
	Targets []any
	// Found is set by the Pipeline if there was a row for the targets.
	Found bool
	// Done is set by the Pipeline if the database has executed the statement without an error, with or without a row.
	Done bool
}

// Pipeline sends statements in order on one connection without waiting for each answer, and then reads the answers, in one round trip. Conn
// is the driver's connection, as in [sql.Conn.Raw].
//   - After a failed statement no statement is executed, and its error is returned. Only a statement commits.
//   - If a statement of the transaction failed earlier, the first statement is a rollback. Prepare the other statements only after the
//     rollback was executed.
//   - The error matches [driver.ErrBadConn] only if nothing was sent. It is [driver.ErrSkip] for the connection of an unknown driver.
type Pipeline func(ctx context.Context, conn any, statements []Statement) error

// WithPipeline lets single transactions send consecutive statements in one round trip: the begin of the transaction with the claim, and the
// outcome with the commit. The run of a new key then takes as many round trips as its handler's transaction alone, once the driver has
// prepared the statements. It prepares them again after one has failed, such as the claim of a duplicate that waited in vain.
//
// WithPipeline is for PostgreSQL. Package [github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline] has the Pipeline for pgx. The
// default is nil: no pipeline. New returns an error if the Pipeline does not know the driver's connections.
func WithPipeline(p Pipeline) Option { return func(c *config) { c.pipeline = p } }

// begins returns the statement that begins a transaction. It is empty if PostgreSQL does not have the level.
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

// pipelines returns an error if the dialect allows no pipeline.
func (c *config) pipelines(d Dialect) error {
	switch {
	case c.pipeline == nil:
		return nil
	case d != PostgreSQL:
		return fmt.Errorf("sqlstore: WithPipeline is for %v, and the dialect is %v: leave it out", PostgreSQL, d)
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
		return fmt.Errorf("sqlstore: testing the pipeline: getting a connection: %w", err)
	}
	defer func() { _ = conn.Close() }() // nothing depends on it

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
		return fmt.Errorf("sqlstore: testing the pipeline: it does not know connections of type %s: "+
			"open the database with the driver that the pipeline is for, unwrapped, or leave WithPipeline out", kind)
	case err != nil:
		return fmt.Errorf("sqlstore: testing the pipeline: %w", err)
	case answer != 1 || !try[0].Found || !try[0].Done:
		return errors.New("sqlstore: testing the pipeline: it does not read the answers to its statements, or does not set Found and Done")
	default:
		return nil
	}
}

// pipelined is a transaction whose consecutive statements are sent together.
//
// It is the driver of a database with one connection, which is borrowed from the pool. So its transaction is a normal [sql.Tx] with all its
// care for open rows, open statements and late statements. But the begin sends nothing, and the commit sends the last statements together.
type pipelined struct {
	send Pipeline
	pool *sql.DB
	conn *sql.Conn   // of the pool
	used driver.Conn // by conn
	tx   *sql.Tx
	life context.Context //nolint:containedctx // of the transaction

	// The fields below are used only by the goroutine that uses the connection of the sql.Tx.

	next []Statement // sent by nextStatements
	last []Statement // sent by the commit
	// idle means that the connection has no transaction.
	idle bool
}

// nextStatements stands for the statements that are sent together, because database/sql takes only one.
const nextStatements = "onlyonce: the next statements"

const rollback = "ROLLBACK"

// earlyError is an error of a statement before the commit, which was then not executed.
type earlyError struct{ error }

func (e *earlyError) Unwrap() error { return e.error }

// newPipelined opens a transaction that lasts as long as life. Ctx bounds the wait for a connection.
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
		_ = conn.Close() // it was not used

		return nil, err
	}

	db := sql.OpenDB(p)
	p.tx, err = db.BeginTx(life, nil)

	// The end of the transaction closes the borrowed connection, which returns the pool's.
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

// borrowed is the borrowed connection and its transaction.
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
		_ = b.Rollback() // otherwise the connection is not used again

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

// Close implements [driver.Conn]: it returns the connection to the pool. The pool closes it unless its transaction has certainly ended.
func (b borrowed) Close() error {
	if !b.p.idle {
		_ = b.p.conn.Raw(func(any) error { return driver.ErrBadConn })
	}

	_ = b.p.conn.Close() // as above

	return nil
}

// claimTogether makes the record of a first claim in one round trip, together with the statements before and after it. If there is a
// record, claimTogether ends the transaction and reads the record in another.
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
		at     integer
		early  *earlyError
		probes = t.doubted()
	)

	if probes {
		t.pipe.last = append(t.pipe.last, Statement{Query: t.store.keep})
	}

	t.pipe.last = append(t.pipe.last,
		Statement{Query: t.store.sql.completeTogether, Args: t.completeWithinArgs(op), Targets: []any{&at}}, Statement{Query: "COMMIT"})

	switch sure, err := t.commit(ctx); {
	case err == nil:
		return t.completed(op, at), nil
	case errors.As(err, &early):
		if probes && !t.pipe.last[0].Done {
			err = t.endedBy(err)
		}

		return store.Result{}, t.unwritten(err)
	case sure:
		return store.Result{}, t.uncommitted(err)
	default:
		return t.decide(ctx, err)
	}
}

// recordTogether rolls the transaction back and records its outcome in another, in one round trip. Done is false if there is a record
// already, or another transaction was in the way.
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

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"

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
	// Found reports that there was a row.
	Found bool
	// Done reports that the database has executed the statement without an error.
	Done bool
}

// Pipeline sends statements on one connection without waiting for the answer of each, and reads the answers: one round trip for
// all of them. The connection is what the database driver has made ([sql.Conn.Raw]).
//
// Nothing is executed after a statement that has failed, whose error is returned. So is the error of a connection on which nothing
// was sent, as one that matches [driver.ErrBadConn], and [driver.ErrSkip] for the connection of a driver that it does not know.
type Pipeline func(ctx context.Context, conn any, statements []Statement) error

// WithPipeline lets single transactions send statements that follow each other in one round trip: what begins the transaction,
// claims the key and marks where the handler's writes begin is one, and what records the outcome and commits is another. A call takes as
// many round trips then as its handler's transaction would by itself.
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
	case begins(c.isolation) == "":
		return fmt.Errorf("sqlstore: PostgreSQL has no isolation level %v: give WithIsolation another", c.isolation)
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

	var kind string

	err = conn.Raw(func(c any) error {
		kind = fmt.Sprintf("%T", c)

		return s.pipeline(ctx, c, []Statement{{Query: "SELECT 1", Targets: []any{new(int)}}})
	})

	switch {
	case errors.Is(err, driver.ErrSkip):
		return fmt.Errorf("sqlstore: the pipeline does not know connections of type %s: "+
			"open the database with the driver that the pipeline is for, unwrapped, or leave WithPipeline out", kind)
	case err != nil:
		return fmt.Errorf("sqlstore: the pipeline fails: %w", err)
	default:
		return nil
	}
}

// pipelined is a transaction whose statements are sent together where they follow each other. It is a session.
type pipelined struct {
	*sql.Conn

	send Pipeline
	// life is the transaction's, rows ends before the connection does anything else.
	life, rows context.Context //nolint:containedctx // as that of sql.Tx
	endRows    context.CancelFunc

	// idle says that no transaction is open.
	idle bool

	mu       sync.Mutex
	prepared []*sql.Stmt
}

func (s *Store) newPipelined(ctx, life context.Context) (*pipelined, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}

	p := &pipelined{Conn: conn, send: s.pipeline, life: life}
	p.rows, p.endRows = context.WithCancel(life)

	return p, nil
}

// together sends statements in one round trip.
func (p *pipelined) together(ctx context.Context, statements []Statement) (err error) {
	rawErr := p.Conn.Raw(func(conn any) error {
		err = p.send(ctx, conn, statements)

		return nil // also of a dead connection: to close it is to wait for open rows, and giveBack ends these first
	})
	if err == nil {
		err = rawErr
	}

	return err
}

// QueryContext is that of the connection, but the rows end with the transaction: open ones would keep the connection for ever.
func (p *pipelined) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(p.rows, cancel) //nolint:contextcheck // the end of either is enough

	return p.Conn.QueryContext(ctx, query, args...)
}

// PrepareContext is that of the connection, but the statement ends with the transaction.
func (p *pipelined) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	stmt, err := p.Conn.PrepareContext(ctx, query) //nolint:sqlclosecheck // giveBack does
	if err != nil {
		return nil, err
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	p.prepared = append(p.prepared, stmt)

	return stmt, nil
}

// Rollback ends the transaction, or the connection with it.
func (p *pipelined) Rollback() error {
	p.endRows()

	if p.idle {
		p.giveBack(true)

		return nil
	}

	_, err := p.Conn.ExecContext(p.life, "ROLLBACK")
	p.giveBack(err == nil)

	return err
}

// giveBack returns the connection to the pool. Unless its transaction has surely ended, it is closed.
func (p *pipelined) giveBack(isEnded bool) {
	p.endRows()

	p.mu.Lock()
	defer p.mu.Unlock()

	for _, stmt := range p.prepared {
		_ = stmt.Close() // an error says that the connection is gone, and the statement with it
	}

	if !isEnded {
		_ = p.Conn.Raw(func(any) error { return driver.ErrBadConn })
	}

	_ = p.Conn.Close() // as above
}

// claimTogether makes the record of a first claim in one round trip with what goes before and comes after it. Where there is a record
// already, it ends the transaction and reads that in another.
func (t *transaction) claimTogether(ctx context.Context, args []any) (made integer, old row, err error) {
	err = t.pipe.together(ctx, []Statement{
		{Query: begins(t.store.isolation)},
		{Query: t.store.sql.insertWithin, Args: args, Targets: []any{&made, new(string)}},
		{Query: "SAVEPOINT " + savepoint},
	})
	t.saved = err == nil && made != 0

	if err != nil || made != 0 {
		return made, old, err
	}

	err = t.pipe.together(ctx, []Statement{
		{Query: "ROLLBACK"}, {Query: t.store.sql.read, Args: []any{args[0]}, Targets: old.targets()},
	})
	t.pipe.idle = err == nil

	return 0, old, err
}

// completeTogether completes the record and commits in one round trip.
func (t *transaction) completeTogether(ctx context.Context, op *store.Completion, undo bool) (store.Result, error) {
	if err := t.end(); err != nil {
		t.Rollback()

		return store.Result{}, rolledBack(err, t.Conflicted(err))
	}

	var (
		at         integer
		statements []Statement
	)

	if undo {
		statements = append(statements, Statement{Query: "ROLLBACK TO SAVEPOINT " + savepoint})
	}

	statements = append(statements,
		Statement{Query: t.store.sql.completeWithin, Args: t.completeWithinArgs(op), Targets: []any{&at}}, Statement{Query: "COMMIT"})
	recorded, committed := &statements[len(statements)-2], &statements[len(statements)-1]

	deadline, _ := ctx.Deadline()

	// The other half is for finding out.
	half, done := context.WithDeadline(t.pipe.life, halfway(deadline))
	err := t.pipe.together(half, statements) //nolint:contextcheck // it ends with the transaction

	done()

	if err != nil && !committed.Done && !recorded.Done && reported(err) && !goingDown(err) {
		t.Rollback() // the database has refused what comes before the commit, and executed nothing after it

		return store.Result{}, rolledBack(err, t.Conflicted(err))
	}

	t.pipe.giveBack(err == nil)
	t.cancel()
	t.leave()

	switch {
	case err == nil && recorded.Found:
		return t.completed(op, at), nil
	case err != nil && recorded.Done && (t.store.conflicts(err) || strings.HasPrefix(sqlState(err), classConstraint)):
		return store.Result{}, rolledBack(err, t.store.conflicts(err))
	case err == nil:
		err = errNotOwn
	}

	return t.store.decide(ctx, &t.claim, err)
}

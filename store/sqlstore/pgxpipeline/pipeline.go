// Package pgxpipeline lets the single transactions of [github.com/onlyonce-go/onlyonce/store/sqlstore] take as few round trips as
// they would without a record, where database/sql is used with pgx:
//
//	db, err := sql.Open("pgx", dsn)
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithPipeline(pgxpipeline.Send))
package pgxpipeline

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

var _ sqlstore.Pipeline = Send

// Send is a [sqlstore.Pipeline] for connections of pgx's package stdlib. The statements are a batch of pgx, so that they are prepared,
// described or sent as text as the connection says (default_query_exec_mode).
func Send(ctx context.Context, conn any, statements []sqlstore.Statement) error {
	std, ok := conn.(*stdlib.Conn)
	if !ok {
		return driver.ErrSkip
	}

	if std.Conn().IsClosed() {
		return driver.ErrBadConn
	}

	// Statements are prepared before the first is executed, which fails where a statement before them has: the first is a ROLLBACK.
	if std.Conn().PgConn().TxStatus() == aborted && len(statements) > 1 {
		if err := send(ctx, std.Conn(), statements[:1]); err != nil {
			return err
		}

		statements = statements[1:]
	}

	return send(ctx, std.Conn(), statements)
}

// aborted is the state of a transaction in which a statement has failed.
const aborted = 'E'

func send(ctx context.Context, conn *pgx.Conn, statements []sqlstore.Statement) (err error) {
	batch := new(pgx.Batch)
	for i := range statements {
		batch.Queue(statements[i].Query, statements[i].Args...)
	}

	answers := conn.SendBatch(ctx, batch)
	defer func() {
		if closed := answers.Close(); err == nil {
			err = closed
		}

		if err != nil && pgconn.SafeToRetry(err) {
			err = fmt.Errorf("%w: %w", driver.ErrBadConn, err)
		}
	}()

	for i := range statements {
		if err := read(answers, &statements[i]); err != nil {
			return err
		}
	}

	return nil
}

// read reads the answer to a statement.
func read(answers pgx.BatchResults, s *sqlstore.Statement) (err error) {
	if len(s.Targets) == 0 {
		_, err = answers.Exec()
	} else {
		err = answers.QueryRow().Scan(s.Targets...)
	}

	s.Found = err == nil && len(s.Targets) > 0
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}

	s.Done = err == nil

	return err
}

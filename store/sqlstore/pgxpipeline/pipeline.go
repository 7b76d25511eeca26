// Package pgxpipeline sends consecutive statements of single transactions in one round trip, for
// [github.com/onlyonce-go/onlyonce/store/sqlstore] with pgx:
//
//	db, err := sql.Open("pgx", dsn)
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithPipeline(pgxpipeline.Send))
//
// A call then takes as many round trips as its handler's transaction alone.
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

// Send is the [sqlstore.Pipeline] for connections of pgx's package stdlib. It sends the statements as a batch of pgx. The setting
// default_query_exec_mode of the connection applies to it. For connections of other drivers it returns [driver.ErrSkip].
func Send(ctx context.Context, conn any, statements []sqlstore.Statement) error {
	std, ok := conn.(*stdlib.Conn)
	if !ok {
		return driver.ErrSkip
	}

	if std.Conn().IsClosed() {
		return driver.ErrBadConn
	}

	// pgx prepares all statements before the first is executed. In a failed transaction that fails, so the first statement, a ROLLBACK, goes
	// alone.
	if std.Conn().PgConn().TxStatus() == aborted && len(statements) > 1 {
		if err := send(ctx, std.Conn(), statements[:1]); err != nil {
			return err
		}

		statements = statements[1:]
	}

	return send(ctx, std.Conn(), statements)
}

// aborted is the status of a transaction with a failed statement.
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

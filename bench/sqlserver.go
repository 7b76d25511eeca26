package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// stage is the part of a test that the test servers need.
type stage struct {
	testing.TB

	ctx  context.Context //nolint:containedctx // as a test has it
	ends []func()
}

// fatal is the panic value of Fatal and Fatalf.
type fatal string

func (*stage) Helper()                             {}
func (*stage) Name() string                        { return "bench" }
func (s *stage) Context() context.Context          { return s.ctx }
func (s *stage) Cleanup(end func())                { s.ends = append(s.ends, end) }
func (*stage) Log(args ...any)                     { fmt.Fprintln(os.Stderr, args...) }
func (*stage) Logf(format string, args ...any)     { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (s *stage) Error(args ...any)                 { s.Log(args...) }
func (s *stage) Errorf(format string, args ...any) { s.Logf(format, args...) }
func (*stage) Fatal(args ...any)                   { panic(fatal(fmt.Sprint(args...))) }
func (*stage) Fatalf(format string, args ...any)   { panic(fatal(fmt.Sprintf(format, args...))) }

func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "onlyonce-bench-")
	if err != nil {
		s.Fatal(err)
	}

	s.Cleanup(func() { _ = os.RemoveAll(dir) })

	return dir
}

// onStage calls a function with a stage, and returns its error or the text of its Fatal.
func onStage(ctx context.Context, play func(s *stage) error) (err error) {
	s := &stage{ctx: ctx}

	defer func() {
		for _, end := range slices.Backward(s.ends) {
			end()
		}
	}()

	defer func() {
		if failure := recover(); failure != nil {
			said, ok := failure.(fatal)
			if !ok {
				panic(failure)
			}

			err = fmt.Errorf("%s", string(said))
		}
	}()

	return play(s)
}

// warehouse is a database with the tables of a business: orders and stock.
type warehouse struct {
	db *sql.DB
}

const (
	// pooled is the size of a connection pool. It is larger than the number of callers.
	pooled = 40
	items  = 1000
)

func openWarehouse(s *stage, d *sqltest.Database) (*warehouse, error) {
	db := d.DB(s)
	db.SetMaxOpenConns(pooled)
	db.SetMaxIdleConns(pooled)

	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, item bigint NOT NULL, quantity bigint NOT NULL)",
		"CREATE TABLE IF NOT EXISTS stock (item bigint PRIMARY KEY, quantity bigint NOT NULL) WITH (fillfactor = 50)",
		fmt.Sprintf("INSERT INTO stock SELECT n, 1000000000 FROM generate_series(0, %d) AS n ON CONFLICT DO NOTHING", items-1),
	} {
		if _, err := db.ExecContext(s.ctx, statement); err != nil {
			return nil, err
		}
	}

	return &warehouse{db}, nil
}

// sell is the business transaction: two statements.
func sell(ctx context.Context, tx sqlstore.DBTX, id string, item int) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id, item, quantity) VALUES ($1, $2, 1)", id, item); err != nil {
		return err
	}

	_, err := tx.ExecContext(ctx, "UPDATE stock SET quantity = quantity - 1 WHERE item = $1", item)

	return err
}

// sellAlone is the same in a transaction of its own.
func (w *warehouse) sellAlone(ctx context.Context, id string, item int) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // fails where it has committed

	if err := sell(ctx, tx, id, item); err != nil {
		return err
	}

	return tx.Commit()
}

// settings returns the database settings that the figures depend on.
func (w *warehouse) settings(ctx context.Context) (string, error) {
	var all []string

	for _, name := range []string{
		"server_version", "fsync", "synchronous_commit", "wal_sync_method", "full_page_writes", "wal_level", "shared_buffers", "max_wal_size",
	} {
		var value string
		if err := w.db.QueryRowContext(ctx, "SHOW "+name).Scan(&value); err != nil {
			return "", err
		}

		all = append(all, name+" "+value)
	}

	return "PostgreSQL: " + strings.Join(all, ", ") + ".", nil
}

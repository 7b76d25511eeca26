package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The databases, of the producer and of the consumers.
const (
	orderDatabase  = "orders.db"
	chargeDatabase = "charges.db"
)

// open opens a database. The engine's store retries if the database is busy, so the driver waits only without the kit.
func open(t *task, name string) (*sql.DB, error) {
	if t.Kit {
		return openFor(t, name, 5) // milliseconds
	}

	return openPatiently(t, name)
}

// openPatiently opens a database for programs without the kit, and for the demo itself, which reads while processes are killed.
func openPatiently(t *task, name string) (*sql.DB, error) { return openFor(t, name, 60_000) } // milliseconds

func openFor(t *task, name string, wait int) (*sql.DB, error) {
	return sql.Open("sqlite", fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)",
		filepath.Join(t.Folder, name), wait))
}

// makeTables creates the tables.
func makeTables(ctx context.Context, db *sql.DB) error {
	for _, table := range []string{
		"CREATE TABLE orders (number INTEGER PRIMARY KEY)",
		"CREATE TABLE outbox (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, data TEXT NOT NULL)",
		"CREATE TABLE charges (number INTEGER NOT NULL)",
	} {
		if _, err := db.ExecContext(ctx, table); err != nil {
			return fmt.Errorf("making the tables: %w", err)
		}
	}

	return sqlstore.Migrate(ctx, db, sqlstore.SQLite)
}

// newEngine returns an engine whose records are in the database of its rows.
func newEngine(db *sql.DB) (*onlyonce.Engine, error) {
	records, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		return nil, err
	}

	return onlyonce.New(records, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))
}

// Package trial calls the handlers of the recipes like clients that got no first answer.
package trial

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Database is a PostgreSQL database with the table of the records, and an engine.
type Database struct {
	*sql.DB

	DSN    string
	Engine *onlyonce.Engine
}

// NewDatabase returns a database with tables. The package needs a TestMain with [sqltest.Shared].
func NewDatabase(t *testing.T, mode onlyonce.TransactionMode, tables string) *Database {
	t.Helper()

	base := sqltest.PostgresDatabase(t)
	db := base.DB(t)

	if _, err := db.ExecContext(t.Context(), tables); err != nil {
		t.Fatal(err)
	}

	if err := sqlstore.Migrate(t.Context(), db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}

	records, err := sqlstore.New(db, sqlstore.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}

	engine, err := onlyonce.New(records, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: mode}))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := engine.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})

	return &Database{db, base.DSN(), engine}
}

// Handler is a handler of a recipe.
type Handler func(ctx context.Context) (answer string, err error)

// Do calls a handler with a key, and returns the result.
func (d *Database) Do(ctx context.Context, key string, handle Handler) (onlyonce.Result, error) {
	return d.Engine.Do(ctx, onlyonce.Call{Method: "handle", Key: key}, func(ctx context.Context) ([]byte, error) {
		answer, err := handle(ctx)

		return []byte(answer), err
	})
}

// Twice calls a handler twice with one key. It fails the test unless the rows exist once.
func (d *Database) Twice(t *testing.T, handle Handler, table string) {
	t.Helper()

	var answers [2]string

	for i, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		result, err := d.Do(t.Context(), "order-7", handle)
		if err != nil || result.Status != want {
			t.Fatalf("call %d: %s, %v, want %s", i+1, result.Status, err, want)
		}

		answers[i] = string(result.Body)
	}

	if answers[0] != answers[1] || answers[0] == "" {
		t.Errorf("the answers are %q", answers)
	}

	d.Rows(t, table, 1)
}

// errLater is an error after the last statement of a handler.
var errLater = errors.New("the handler fails after its last statement")

// FailsOnce calls a handler that fails after its last statement, in a single transaction. It fails the test unless the rows are gone.
func (d *Database) FailsOnce(t *testing.T, handle Handler, table string) {
	t.Helper()

	_, err := d.Do(t.Context(), "order-7", func(ctx context.Context) (string, error) {
		if _, err := handle(ctx); err != nil {
			t.Error(err)
		}

		return "", errLater
	})
	if !errors.Is(err, errLater) {
		t.Errorf("got %v", err)
	}

	d.Rows(t, table, 0)
}

// Rows fails the test unless a table has this number of rows.
func (d *Database) Rows(t *testing.T, table string, want int) {
	t.Helper()

	var got int
	if err := d.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&got); err != nil {
		t.Fatal(err)
	}

	if got != want {
		t.Errorf("%d rows in %s, want %d", got, table, want)
	}
}

package trial

import (
	"context"
	"database/sql"
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

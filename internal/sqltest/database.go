//go:build unix

package sqltest

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver
)

// Database is a test database with its address.
type Database struct {
	engine engine
	addr   string
	name   string
}

// engine is a kind of database.
type engine interface {
	// driver is the name of its driver.
	driver() string
	// dsn returns the name of a database as its driver understands it. Parameters are in the form of a query.
	dsn(addr, database, params string) string
}

// Driver returns the driver name for [sql.Open].
func (d *Database) Driver() string { return d.engine.driver() }

// Addr returns the address, or the file.
func (d *Database) Addr() string { return d.addr }

// Name returns the name of the database on its server.
func (d *Database) Name() string { return d.name }

// Table returns a table name with its schema: "public" on PostgreSQL, the database on MySQL and MariaDB, and no schema on SQLite.
func (d *Database) Table(name string) string {
	switch {
	case d.name == "":
		return name
	case d.Driver() == "pgx":
		return "public." + name
	default:
		return d.name + "." + name
	}
}

// DSN returns the data source name for [sql.Open]. The parameters are the driver's, such as "clientFoundRows=true".
func (d *Database) DSN(params ...string) string {
	return d.engine.dsn(d.addr, d.name, strings.Join(params, "&"))
}

// DB opens the database, with parameters as for [Database.DSN]. It is closed at the end of the test.
func (d *Database) DB(tb testing.TB, params ...string) *sql.DB {
	tb.Helper()

	db, err := sql.Open(d.Driver(), d.DSN(params...))
	if err != nil {
		tb.Fatal(err)
	}

	tb.Cleanup(func() { db.Close() })

	return db
}

// SQLite returns an empty database in a file, with a write-ahead log.
func SQLite(tb testing.TB) *Database {
	tb.Helper()

	return &Database{engine: sqlite{}, addr: filepath.Join(tb.TempDir(), "test.db")}
}

type sqlite struct{}

func (sqlite) driver() string { return "sqlite" }

func (sqlite) dsn(path, _, params string) string {
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: query("_pragma=journal_mode(wal)", params)}).String()
}

// query joins two query strings. Either may be empty.
func query(a, b string) string { return strings.Trim(a+"&"+b, "&") }

//go:build unix

package sqltest

import (
	"database/sql"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

// serverKind is a kind of server.
type serverKind struct {
	name   string
	server func(tb testing.TB, options ...Option) *Server
	shared func(tb testing.TB) *Database
	// modes are the ways in which the driver sends statements.
	modes map[string]string
}

// kinds are the servers that are tested. MySQL is one where the environment names it.
var kinds = append([]serverKind{
	{"PostgreSQL", Postgres, PostgresDatabase, map[string]string{
		"prepared":  "default_query_exec_mode=cache_statement",
		"described": "default_query_exec_mode=describe_exec",
		"extended":  "default_query_exec_mode=exec",
		"simple":    "default_query_exec_mode=simple_protocol",
	}},
	{"MariaDB", MariaDB, MariaDBDatabase, modesOfMySQL},
}, newest()...)

var modesOfMySQL = map[string]string{
	"prepared": "interpolateParams=false",
	"simple":   "interpolateParams=true",
}

func newest() []serverKind {
	if !servers.Chosen(servers.MySQL9) {
		return nil
	}

	return []serverKind{{"MySQL", MySQL, MySQLDatabase, modesOfMySQL}}
}

// placeholder returns the one argument of a statement.
func placeholder(d *Database) string {
	if d.Driver() == "pgx" {
		return "$1"
	}

	return "?"
}

func run(t *testing.T, db *sql.DB, text string) {
	t.Helper()

	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

// holds checks the number of rows in a table, over a direct connection.
func holds(t *testing.T, d *Database, want int) {
	t.Helper()

	var got int
	if err := d.DB(t).QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&got); err != nil {
		t.Fatal(err)
	}

	if got != want {
		t.Errorf("there are %d rows, want %d", got, want)
	}
}

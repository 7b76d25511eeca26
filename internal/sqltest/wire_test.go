//go:build unix

package sqltest

import (
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// way is a kind of server, and a mode of its driver.
type way struct {
	name, params string
	database     func(tb testing.TB) *Database
}

func ways() (all []way) {
	for _, kind := range kinds {
		for mode, params := range kind.modes {
			all = append(all, way{kind.name + "/" + mode, params, kind.shared})
		}
	}

	return all
}

// open returns a line to an empty database, and the database as a client has it.
func (w way) open(t *testing.T) (*Proxy, *sql.DB) {
	t.Helper()

	proxy := NewProxy(t, w.database(t))
	db := proxy.DB(t, w.params)

	return proxy, db
}

func TestStatementsAreCountedAsOftenAsTheyAreExecuted(t *testing.T) {
	for _, way := range ways() {
		t.Run(way.name, func(t *testing.T) {
			proxy, db := way.open(t)
			run(t, db, "CREATE TABLE t (v int)")

			stmt, err := db.PrepareContext(t.Context(), "INSERT INTO t\n\tVALUES ("+placeholder(proxy.Database)+")")
			if err != nil {
				t.Fatal(err)
			}
			defer stmt.Close()

			proxy.Reset()

			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}

			inside := tx.StmtContext(t.Context(), stmt)
			defer inside.Close()

			for i := range 3 {
				if _, err := inside.ExecContext(t.Context(), i); err != nil {
					t.Fatal(err)
				}
			}

			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}

			if n := proxy.Count(Starting("insert into t values")); n != 3 {
				t.Errorf("%d insertions: %q", n, proxy.Statements())
			}

			if all, few := proxy.Count(Any()), proxy.Count(Containing("rollback")); all != 5 || few != 1 {
				t.Errorf("%d statements, %d of them roll back: %q", all, few, proxy.Statements())
			}

			// For some drivers in some modes, preparing is a round trip of its own.
			if n := proxy.RoundTrips(); n < 5 || n > 8 {
				t.Errorf("%d round trips", n)
			}
		})
	}
}

func TestRepliesOfAllShapesAreFollowed(t *testing.T) {
	for _, way := range ways() {
		t.Run(way.name, func(t *testing.T) {
			proxy, db := way.open(t)
			db.SetMaxOpenConns(1) // unread results would disturb the next statement

			mark := placeholder(proxy.Database)
			long := strings.Repeat("x", 1<<20)

			run(t, db, "CREATE TABLE t (v varchar(10), w int)")

			for i := range 3 {
				if _, err := db.ExecContext(t.Context(), "INSERT INTO t (v) VALUES ("+mark+")", strconv.Itoa(i)); err != nil {
					t.Fatal(err)
				}

				if _, err := db.ExecContext(t.Context(), "INSERT INTO missing VALUES ("+mark+")", "v"); err == nil {
					t.Error("a missing table is there")
				}

				var v string
				if err := db.QueryRowContext(t.Context(), "SELECT v FROM t WHERE v = "+mark, "none").Scan(&v); !errors.Is(err, sql.ErrNoRows) {
					t.Errorf("no row: %v", err)
				}

				// A string in an expression has a type in one dialect only.
				if err := db.QueryRowContext(t.Context(), "SELECT concat("+cast(mark, proxy)+", '')", long).Scan(&v); err != nil || v != long {
					t.Errorf("%d characters came back, %v", len(v), err)
				}
			}

			rows, err := db.QueryContext(t.Context(), "SELECT a.v, a.w, b.v FROM t a, t b, t c WHERE a.v <> "+mark, "9")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()

			n := 0
			for rows.Next() {
				n++
			}

			if err := rows.Err(); n != 27 || err != nil {
				t.Errorf("%d rows, %v", n, err)
			}

			// A statement that fails when it is prepared is not executed.
			if inserted, selected := proxy.Count(Starting("insert into t ")), proxy.Count(Starting("select")); inserted != 3 || selected != 7 {
				t.Errorf("%d insertions, %d selections: %q", inserted, selected, proxy.Statements())
			}
		})
	}
}

// cast marks a placeholder as a text.
func cast(mark string, proxy *Proxy) string {
	if proxy.Driver() == "pgx" {
		return mark + "::text"
	}

	return mark
}

// numbers returns the values in all rows of all results.
func numbers(t *testing.T, db *sql.DB, text string) (got []int) {
	t.Helper()

	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()

	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			var v int
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}

			got = append(got, v)
		}
	}

	if err := rows.Err(); err != nil {
		t.Error(err)
	}

	return got
}

func TestSeveralResultsOfOneStatementAreOneReply(t *testing.T) {
	proxy := NewProxy(t, MariaDBDatabase(t))
	db := proxy.DB(t, "multiStatements=true")
	db.SetMaxOpenConns(1)

	for range 2 {
		if got := numbers(t, db, "SELECT 1 UNION SELECT 2; DO 1; SELECT 3"); !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("got %v", got)
		}
	}

	if all, trips := len(proxy.Statements()), proxy.RoundTrips(); all != 2 || trips != 2 {
		t.Errorf("%d statements in %d round trips", all, trips)
	}
}

func TestABatchIsOneRoundTripAndIsLostAsAWhole(t *testing.T) {
	proxy := NewProxy(t, PostgresDatabase(t))
	run(t, proxy.DB(t), "CREATE TABLE t (v int)")

	send := func() error {
		conn, err := pgx.Connect(t.Context(), proxy.DSN("default_query_exec_mode=exec"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())

		batch := &pgx.Batch{}
		for i := range 3 {
			batch.Queue("INSERT INTO t VALUES ($1)", i)
		}

		return conn.SendBatch(t.Context(), batch).Close()
	}

	proxy.Reset()

	if err := send(); err != nil {
		t.Fatal(err)
	}

	if all, trips := len(proxy.Statements()), proxy.RoundTrips(); all != 3 || trips != 1 {
		t.Errorf("%d statements in %d round trips", all, trips)
	}

	for i, fault := range []Fault{LostRequest, LostReply} {
		lost := proxy.Next(fault, Starting("insert"))

		if err := send(); err == nil {
			t.Errorf("%v: no error", fault)
		}

		lost.Wait()
		holds(t, proxy.Database, 3+3*i)
	}
}

func TestAClientThatPrefersTLSConnectsWithoutIt(t *testing.T) {
	for _, d := range []*Database{PostgresDatabase(t), MariaDBDatabase(t)} {
		params := map[string]string{"pgx": "sslmode=prefer", "mysql": "tls=preferred"}[d.Driver()]
		run(t, NewProxy(t, d).DB(t, params), "SELECT 1")
	}
}

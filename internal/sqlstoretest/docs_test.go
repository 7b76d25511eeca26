package sqlstoretest_test

import (
	"database/sql"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// sqlBlock matches a block of SQL in a document. Its first line names the databases that it is for.
var sqlBlock = regexp.MustCompile("(?s)```sql\n-- ([^\n]*)\n(.*?)```")

func TestStatementsForAdministratorsAreExecuted(t *testing.T) { //nolint:tparallel // each calls it
	text, err := os.ReadFile("../../docs/databases.md")
	if err != nil {
		t.Fatal(err)
	}

	blocks := sqlBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 6 || len(blocks) != strings.Count(string(text), "```sql") {
		t.Fatalf("%d blocks of SQL are found", len(blocks))
	}

	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		all := specimens(t, s)
		k.rows(db).set(t, all["COMPLETED"].Key, map[string]any{"checksum": 1})
		expire(t, s)

		for _, block := range blocks {
			query := strings.TrimSpace(block[2]) + "\n"

			switch {
			case !strings.Contains(block[1], k.dialect.String()):
			case !strings.HasPrefix(query, "SELECT"):
				execute(t, db, query)
			default:
				mustFind(t, db, query, all)
			}
		}

		if k.dialect == sqlstore.PostgreSQL {
			k.on(t, db, sqlstore.WithTable("payments_records"))
		}

		start(t, s, newClaim())
	})
}

// expire makes a record that a sweep may delete.
func expire(t *testing.T, s *sqlstore.Store) {
	t.Helper()

	claim := brief()
	start(t, s, claim)

	res, err := s.Release(t.Context(), release(claim))
	must(t, res, err)
	eventually(t, "a record expires", func() bool { return lookup(t, s, claim.Key).Record.State == store.Absent })
}

// mustFind checks the first column of a query's result.
func mustFind(t *testing.T, db *sql.DB, query string, all map[string]store.Claim) {
	t.Helper()

	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()

	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}

	var first []string

	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.NullString)
		}

		if err := rows.Scan(values...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}

		first = append(first, values[0].(*sql.NullString).String) //nolint:errcheck // made above
	}

	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}

	want := ""

	switch {
	case strings.Contains(query, "NOT settled"):
		want = all["UNKNOWN"].Key.String()
	case strings.Contains(query, "damaged"):
		want = all["COMPLETED"].Key.String()
	}

	if len(first) != 1 || first[0] == "" || want != "" && first[0] != want {
		t.Errorf("%s: found are %q, want one %s", query, first, want)
	}
}

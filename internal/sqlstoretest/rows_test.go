package sqlstoretest_test

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// rows are the rows of a table, as somebody sees them who is not the store.
type rows struct {
	kind
	*sql.DB

	table string
}

func (k kind) rows(db *sql.DB) rows { return rows{k, db, sqlstore.DefaultTable} }

// mark is the placeholder with a number, beginning with 1.
func (r rows) mark(n int) string {
	if r.dialect == sqlstore.PostgreSQL {
		return fmt.Sprintf("$%d", n)
	}

	return "?"
}

// get returns the row of a key by its columns, or nil.
func (r rows) get(tb testing.TB, key store.Key) map[string]any {
	tb.Helper()

	query := "SELECT * FROM " + r.table + " WHERE id = " + r.mark(1) //nolint:unqueryvet // whatever there is

	found, err := r.QueryContext(tb.Context(), query, key[:])
	if err != nil {
		tb.Fatal(err)
	}
	defer found.Close()

	columns, err := found.Columns()
	if err != nil {
		tb.Fatal(err)
	}

	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}

	var row map[string]any

	for found.Next() {
		if err := found.Scan(targets...); err != nil {
			tb.Fatal(err)
		}

		row = make(map[string]any)
		for i, name := range columns {
			row[name] = values[i]

			if b, ok := values[i].([]byte); ok && b == nil {
				row[name] = []byte{} // which is no NULL
			}
		}
	}

	if err := found.Err(); err != nil {
		tb.Fatal(err)
	}

	return row
}

// set changes columns of a key's row.
func (r rows) set(tb testing.TB, key store.Key, columns map[string]any) {
	tb.Helper()

	sets, args := make([]string, 0, len(columns)), make([]any, 0, len(columns)+1)

	for _, name := range slices.Sorted(maps.Keys(columns)) {
		args = append(args, columns[name])
		sets = append(sets, name+" = "+r.mark(len(args)))
	}

	query := "UPDATE " + r.table + " SET " + strings.Join(sets, ", ") + " WHERE id = " + r.mark(len(args)+1)
	if _, err := r.ExecContext(tb.Context(), query, append(args, key[:])...); err != nil {
		tb.Fatalf("%s %v: %v", query, args, err)
	}
}

// count is the number of rows.
func (r rows) count(tb testing.TB) (n int) {
	tb.Helper()

	if err := r.QueryRowContext(tb.Context(), "SELECT count(*) FROM "+r.table).Scan(&n); err != nil {
		tb.Fatal(err)
	}

	return n
}

// text is a value as text, to compare it.
func text(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}

	return fmt.Sprint(v)
}

package sqlstoretest_test

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

func TestStoresOnDifferentTablesDoNotSeeEachOthersRecords(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		claim := newClaim()
		start(t, s, claim)

		// Names that are words of SQL, and the longest there is.
		for _, name := range []string{"select", "Table_2", "a", "a23456789_123456789_123456789_123456789_12345678"} {
			other := k.on(t, db, sqlstore.WithTable(name))

			if got := lookup(t, other, claim.Key); got.Record.State != store.Absent {
				t.Errorf("%s: the record of another table: %+v", name, got.Record)
			}

			start(t, other, claim)
		}
	})
}

func TestATableInASchema(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		schema := "Billing"

		switch k.dialect {
		case sqlstore.PostgreSQL:
			if _, err := db.ExecContext(t.Context(), `CREATE SCHEMA "Billing"`); err != nil {
				t.Fatal(err)
			}
		case sqlstore.MySQL:
			if err := db.QueryRowContext(t.Context(), "SELECT DATABASE()").Scan(&schema); err != nil {
				t.Fatal(err)
			}
		default:
			schema = "main"
		}

		s := k.on(t, db, sqlstore.WithTable(schema+".records"))
		claim := newClaim()
		start(t, s, claim)
		res, err := s.Complete(t.Context(), completion(claim, "paid"))
		must(t, res, err)

		if _, err := s.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

package sqlstoretest_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

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

// F98: without a schema in its name, the table once was another one on another connection, and one key ran twice.
func TestF98AStoreUsesTheTableThatItHasFoundOnEveryConnection(t *testing.T) {
	t.Parallel()

	k := kinds[0]
	base := k.fresh(t)
	plain := pool(base.DB(t))

	for _, schema := range []string{"here", "there"} {
		if _, err := plain.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
			t.Fatal(err)
		}

		k.on(t, plain, sqlstore.WithTable(schema+"."+sqlstore.DefaultTable))
	}

	config, err := pgx.ParseConfig(base.DSN())
	if err != nil {
		t.Fatal(err)
	}

	var connections atomic.Int64

	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		path := []string{"here", "there"}[connections.Add(1)%2]
		_, err := conn.Exec(ctx, "SET search_path = "+path)

		return err
	}))
	t.Cleanup(func() { db.Close() })
	db.SetMaxIdleConns(-1) // every statement has a connection of its own

	for name, opts := range map[string][]sqlstore.Option{
		"found": nil,
		"named": {sqlstore.WithTable("there." + sqlstore.DefaultTable), sqlstore.WithoutCheck()},
	} {
		s, err := newStore(db, k.dialect, append(opts, sqlstore.WithTimeout(generous))...)
		if err != nil {
			t.Fatal(err)
		}

		claim := newClaim()
		start(t, s, claim)

		for range 3 {
			if res, err := s.Claim(t.Context(), claimOn(claim.Key)); err != nil || res.Applied || res.Record.Token != claim.Token {
				t.Errorf("%s: a duplicate got applied=%t, %v, %v", name, res.Applied, res.Record.State, err)
			}
		}

		res, err := s.Complete(t.Context(), completion(claim, "paid"))
		must(t, res, err)
	}

	if connections.Load() < 10 {
		t.Errorf("there were %d connections", connections.Load())
	}

	s, err := newStore(db, k.dialect)
	if err != nil {
		t.Fatal(err)
	}

	// Another process may find the other one.
	report, err := s.Check(t.Context())
	if err != nil || !slices.ContainsFunc(report.Warnings, func(w string) bool { return strings.Contains(w, "2 schemas have a table") }) {
		t.Errorf("the warnings are %q, %v", report.Warnings, err)
	}
}

// F98: a MySQL handler may execute USE, and return the connection to the pool.
func TestF98AStoreUsesTheDatabaseThatItHasFoundOnEveryConnection(t *testing.T) {
	each(t, mysqls(), func(t *testing.T, k kind) {
		t.Helper()

		other := k.fresh(t)
		k.on(t, pool(other.DB(t)))

		db := k.fresh(t).DB(t)
		db.SetMaxOpenConns(1)

		k.on(t, db)

		s, err := newStore(db, k.dialect, sqlstore.WithTimeout(generous)) // whose check finds the database
		if err != nil {
			t.Fatal(err)
		}

		claim := newClaim()
		start(t, s, claim)

		if _, err := db.ExecContext(t.Context(), "USE "+other.Name()); err != nil {
			t.Fatal(err)
		}

		if res, err := s.Claim(t.Context(), claimOn(claim.Key)); err != nil || res.Applied || res.Record.Token != claim.Token {
			t.Errorf("a duplicate got applied=%t, %v, %v", res.Applied, res.Record.State, err)
		}

		res, err := s.Complete(t.Context(), completion(claim, "paid"))
		must(t, res, err)
	})
}

// F98: names of a schema that WithTable refuses.
func TestF98TheSchemaThatIsFoundMayHaveAnyName(t *testing.T) {
	t.Parallel()

	k := kinds[0]
	base := k.fresh(t)

	quoted := `"` + strings.ReplaceAll(`odd "name; --{table}`, `"`, `""`) + `"`
	plain := base.DB(t)

	for _, statement := range []string{"CREATE SCHEMA " + quoted, "ALTER DATABASE " + base.Name() + " SET search_path = " + quoted} {
		if _, err := plain.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}

	k.works(t, pool(base.DB(t))) // whose connections are new
}

package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Environment of a process that migrates and ends.
const (
	envDriver  = "SQLSTORETEST_DRIVER"
	envDSN     = "SQLSTORETEST_DSN"
	envDialect = "SQLSTORETEST_DIALECT"
)

// migrateAsChild migrates if this process is a child of the test, and reports whether it is one.
func migrateAsChild() (is bool, err error) {
	driver := os.Getenv(envDriver)
	if driver == "" {
		return false, nil
	}

	dialect := sqlstore.Dialect(len(os.Getenv(envDialect)))

	db, err := sql.Open(driver, os.Getenv(envDSN))
	if err != nil {
		return true, err
	}
	defer db.Close()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	if err := sqlstore.Migrate(ctx, db, dialect); err != nil {
		return true, err
	}

	_, err = newStore(db, dialect)

	return true, err
}

func TestTenProcessesThatStartAtOnceMigrateOnce(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}

		var wg sync.WaitGroup

		for range 10 {
			wg.Go(func() {
				cmd := exec.CommandContext(t.Context(), self)
				cmd.Env = append(os.Environ(), envDriver+"="+base.Driver(), envDSN+"="+base.DSN(k.params...),
					envDialect+"="+strings.Repeat("x", int(k.dialect)))

				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}

		wg.Wait()

		s := k.on(t, pool(base.DB(t, k.params...)))
		start(t, s, newClaim())
	})
}

func TestManyConnectionsThatMigrateAtOnce(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		for range 5 {
			db := k.base(t)

			var wg sync.WaitGroup

			for range 20 {
				wg.Go(func() {
					if err := sqlstore.Migrate(t.Context(), db, k.dialect); err != nil {
						t.Error(err)
					}
				})
			}

			wg.Wait()
			start(t, k.on(t, db), newClaim())
		}
	})
}

func TestMigratingAgainReadsTheVersionAndLooksForTheView(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		proxy := sqltest.NewProxy(t, k.fresh(t))
		db := pool(proxy.DB(t, k.params...))
		start(t, k.on(t, db), newClaim())
		proxy.Reset()

		if err := sqlstore.Migrate(t.Context(), db, k.dialect); err != nil {
			t.Fatal(err)
		}

		if n := proxy.Count(sqltest.Any()); n != 2 {
			t.Errorf("%d statements: %v", n, proxy.Statements())
		}
	})
}

// Earlier builds of this version may have made the tables without the view.
func TestMigrateMakesTheViewIfOnlyItIsMissing(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)

		if _, err := db.ExecContext(t.Context(), "DROP VIEW onlyonce_records_readable"); err != nil {
			t.Fatal(err)
		}

		if err := sqlstore.Migrate(t.Context(), db, k.dialect); err != nil {
			t.Fatal(err)
		}

		claim := newClaim()
		start(t, s, claim)

		if got := k.shown(t, db, claim.Key).state.String; got != "RUNNING" {
			t.Errorf("the view shows %q", got)
		}
	})
}

func TestF39ANewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		if _, err := db.ExecContext(t.Context(), "UPDATE onlyonce_records_schema SET version = 99"); err != nil {
			t.Fatal(err)
		}

		if err := sqlstore.Migrate(t.Context(), db, k.dialect); !errors.Is(err, sqlstore.ErrNewerSchema) {
			t.Errorf("Migrate returned %v", err)
		}

		if _, err := s.Check(t.Context()); !errors.Is(err, sqlstore.ErrNewerSchema) {
			t.Errorf("Check returned %v", err)
		}

		var version int
		if err := db.QueryRowContext(t.Context(), "SELECT version FROM onlyonce_records_schema").Scan(&version); err != nil || version != 99 {
			t.Errorf("the version is %d, %v", version, err)
		}
	})
}

func TestSchemaIsWhatMigrateDoes(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		text, err := sqlstore.Schema(k.dialect, sqlstore.WithTable("billing_records"))
		if err != nil {
			t.Fatal(err)
		}

		db := k.base(t)

		for range 2 {
			for statement := range strings.SplitSeq(text, ";\n") {
				if strings.TrimSpace(statement) == "" {
					continue
				}

				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
		}

		s, err := newStore(db, k.dialect, sqlstore.WithTable("billing_records"), sqlstore.WithTimeout(generous))
		if err != nil {
			t.Fatal(err)
		}

		start(t, s, newClaim())

		if err := sqlstore.Migrate(t.Context(), db, k.dialect, sqlstore.WithTable("billing_records")); err != nil {
			t.Error(err)
		}
	})
}

func TestMigrateReportsWhyItFails(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		proxy := sqltest.NewProxy(t, k.fresh(t))
		db := proxy.DB(t)
		proxy.Down()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		if err := sqlstore.Migrate(ctx, db, k.dialect); err == nil {
			t.Error("it has migrated what it cannot reach")
		}
	})
}

package sqlstoretest_test

import (
	"database/sql"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

func TestCheckNamesTheServer(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t)

		report, err := s.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		if !strings.HasPrefix(report.Server, k.dialect.String()+" ") || len(report.Server) < len(k.dialect.String())+3 {
			t.Errorf("the server is %q", report.Server)
		}
	})
}

func TestNewRefusesADatabaseWithoutTheTables(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		db := pool(base.DB(t, k.params...))
		refuses(t, k, db, "run sqlstore.Migrate")

		named := sqlstore.WithTable(base.Table(sqlstore.DefaultTable))
		if _, err := newStore(db, k.dialect, named, sqlstore.WithoutCheck()); err != nil {
			t.Errorf("without the check: %v", err)
		}

		k.on(t, db)

		if _, err := db.ExecContext(t.Context(), k.dropTable()); err != nil {
			t.Fatal(err)
		}

		refuses(t, k, db, "cannot be read")
	})
}

func TestNewRefusesAnOlderSchema(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		_, db := k.open(t)
		if _, err := db.ExecContext(t.Context(), "UPDATE onlyonce_records_schema SET version = 0"); err != nil {
			t.Fatal(err)
		}

		refuses(t, k, db, "version 0")
	})
}

// F87: the error was once the database's own, about SQL that the user had not written.
func TestF87AnotherDialectIsRefusedWithTheNameOfTheDatabaseAndChangesNothing(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		_, migrated := k.open(t)
		fresh := k.base(t)

		for _, other := range kinds {
			if other.dialect == k.dialect {
				continue
			}

			problem := regexp.MustCompile(`^sqlstore: the dialect does not fit the database: ` + other.dialect.String() +
				` is configured, and the database is (PostgreSQL|MySQL|MariaDB|SQLite) [0-9.]+: use sqlstore.` + k.dialect.String() + `$`)

			if err := sqlstore.Migrate(t.Context(), fresh, other.dialect); err == nil || !problem.MatchString(err.Error()) {
				t.Errorf("Migrate: %v, want %v", err, problem)
			}

			for _, db := range []*sql.DB{fresh, migrated} {
				if _, err := newStore(db, other.dialect); err == nil || !problem.MatchString(err.Error()) {
					t.Errorf("New: %v, want %v", err, problem)
				}
			}
		}

		var version int
		if err := fresh.QueryRowContext(t.Context(), "SELECT version FROM onlyonce_records_schema").Scan(&version); err == nil {
			t.Error("there is a table")
		}

		start(t, k.on(t, fresh), newClaim())
	})
}

// Settings of a session that break or weaken a store.
func TestCheckReportsWhatIsWrongWithASession(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		kind
		param, refusal, warning string
	}{
		{kinds[0], "default_transaction_read_only=on", "transaction_read_only is on", ""},
		{kinds[0], "synchronous_commit=off", "", "synchronous_commit is off"},
		{kinds[0], "default_transaction_isolation=serializable", "", "transaction_isolation is serializable"},
		{kinds[1], "autocommit=0", "autocommit is OFF", ""},
		{kinds[1], "tx_isolation=%27READ-UNCOMMITTED%27", "READ-UNCOMMITTED", ""},
		{kinds[1], "tx_isolation=%27SERIALIZABLE%27", "", "tx_isolation is SERIALIZABLE"},
		{kinds[1], "tx_read_only=1", "tx_read_only is ON", ""},
		{kinds[2], "_pragma=query_only(1)", "query_only is 1", ""},
		{kinds[2], "_pragma=synchronous(off)", "synchronous is 0", ""},
		{kinds[2], "_pragma=synchronous(normal)", "", "synchronous is 1"},
		{kinds[2], "_pragma=busy_timeout(5000)", "", "busy_timeout is 5000"},
	} {
		t.Run(c.name+" "+c.param, func(t *testing.T) {
			t.Parallel()

			base := c.fresh(t)
			c.on(t, pool(base.DB(t, c.params...)))

			db := pool(base.DB(t, c.param))
			if c.refusal != "" {
				refuses(t, c.kind, db, c.refusal)

				return
			}

			s, err := newStore(db, c.dialect)
			if err != nil {
				t.Fatal(err)
			}

			report, err := s.Check(t.Context())
			if err != nil || !slices.ContainsFunc(report.Warnings, func(w string) bool { return strings.Contains(w, c.warning) }) {
				t.Errorf("the warnings are %q, %v", report.Warnings, err)
			}
		})
	}
}

func TestNewRefusesAnotherEngineThanInnoDB(t *testing.T) {
	t.Parallel()

	k := kinds[1]
	_, db := k.open(t)

	if _, err := db.ExecContext(t.Context(), "ALTER TABLE onlyonce_records ENGINE = Aria, ROW_FORMAT = DEFAULT"); err != nil {
		t.Fatal(err)
	}

	refuses(t, k, db, "engine Aria")
}

func TestNewRefusesSQLiteInMemoryAndWithoutAWriteAheadLog(t *testing.T) {
	t.Parallel()

	k, base := kinds[2], sqltest.SQLite(t)
	db := base.DB(t)
	k.on(t, db)

	if _, err := db.ExecContext(t.Context(), "PRAGMA journal_mode = DELETE"); err != nil {
		t.Fatal(err)
	}

	bare, err := sql.Open("sqlite", base.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()

	refuses(t, k, bare, "journal_mode is delete")

	memory, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()

	refuses(t, k, memory, "in memory")
}

// refuses checks that New fails and gives the reason.
func refuses(t *testing.T, k kind, db *sql.DB, why string) {
	t.Helper()

	if _, err := newStore(db, k.dialect); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("New returned %v, it should say %q", err, why)
	}
}

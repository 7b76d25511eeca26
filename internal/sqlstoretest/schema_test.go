package sqlstoretest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// record makes the fixture of a version of the schema. The build that introduces a version makes its fixture once.
var record = flag.Bool("record-schema", false, "write the tables of this build, with records, into testdata/schema")

// fixture is the tables of a version of the schema with the records of kept, as text.
type fixture struct {
	version int
	path    string
}

// later is a change that a newer build may make. It adds to the tables, and removes nothing that this build uses.
const later = `ALTER TABLE onlyonce_records ADD COLUMN later INTEGER NOT NULL DEFAULT 7;
UPDATE onlyonce_records_schema SET version = version + 1 WHERE id = 1;
`

// keptClaim is the claim of a record in every fixture, so it never changes.
func keptClaim(name string) store.Claim {
	claim := store.Claim{
		Key:         sha256.Sum256([]byte(name)),
		Fingerprint: store.Fingerprint{Scheme: 3, Sum: sha256.Sum256([]byte("request of " + name))},
		Guarantee:   store.AtLeastOnce,
		Lease:       time.Hour,
		MaxRun:      time.Hour,
		MaxAttempts: 5,
		Retention:   100 * 365 * 24 * time.Hour,
		Method:      "/shop.v1.Orders/Create",
		ReadableKey: name + " %\u00e4\n",
	}
	copy(claim.Token[:], claim.Fingerprint.Sum[:])

	return claim
}

// keptRecords are the records of every fixture by their names, without their times.
var keptRecords = map[string]struct {
	state   store.State
	outcome []byte
	// ends brings a running record into the state.
	ends func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error)
}{
	"running": {store.Running, nil, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
		return s.Renew(ctx, renewal(c))
	}},
	"completed": {store.Completed, []byte("paid\x00\xff"), func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
		return s.Complete(ctx, completion(c, "paid\x00\xff"))
	}},
	"empty": {store.Completed, nil, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
		return s.Complete(ctx, completion(c, ""))
	}},
	"released": {store.Released, nil, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
		return s.Release(ctx, release(c))
	}},
	"unknown": {store.Unknown, []byte("a note"), func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
		return s.Hold(ctx, hold(c))
	}},
}

// fixtures returns the fixtures of all versions, in the order of the versions.
func (k kind) fixtures(t *testing.T, newest int) []fixture {
	t.Helper()

	var all []fixture

	for version := 1; version <= newest; version++ {
		f := fixture{version, filepath.Join("testdata", "schema", strings.ToLower(k.dialect.String()), fmt.Sprintf("%04d.sql", version))}
		all = append(all, f)
	}

	return all
}

// version is the version of the schema that a database has.
func (k kind) version(t *testing.T, db *sql.DB) (version int) {
	t.Helper()

	if err := db.QueryRowContext(t.Context(), "SELECT version FROM onlyonce_records_schema WHERE id = 1").Scan(&version); err != nil {
		t.Fatal(err)
	}

	return version
}

// newest is the version of the schema that this build makes.
func (k kind) newest(t *testing.T) int {
	t.Helper()

	_, db := k.open(t)

	return k.version(t, db)
}

// execute executes a text of statements.
func execute(t *testing.T, db *sql.DB, text string) {
	t.Helper()

	for statement := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}

		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%.200s: %v", statement, err)
		}
	}
}

// load makes the tables of a fixture.
func (f fixture) load(t *testing.T, db *sql.DB) {
	t.Helper()

	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatalf("version %d has no fixture: make it with go test -run TestF97EveryVersion -record-schema: %v", f.version, err)
	}

	execute(t, db, string(text))
}

// F97: Migrate and the text of Schema bring each version of the schema up to date, with records in every state.
func TestF97EveryVersionOfTheSchemaIsBroughtUpToDateWithItsRecords(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		newest := k.newest(t)

		if *record && k.name != "MySQL" { // MariaDB's is MySQL's
			k.record(t, k.fixtures(t, newest)[newest-1])
		}

		for _, f := range k.fixtures(t, newest) {
			for name, migrate := range map[string]func(db *sql.DB) error{
				"Migrate": func(db *sql.DB) error { return sqlstore.Migrate(t.Context(), db, k.dialect) },
				"Schema": func(db *sql.DB) error {
					text, err := sqlstore.Schema(k.dialect)
					execute(t, db, text)

					return err
				},
			} {
				db := k.base(t)
				f.load(t, db)

				if err := migrate(db); err != nil {
					t.Fatalf("%s from version %d: %v", name, f.version, err)
				}

				if got := k.version(t, db); got != newest {
					t.Errorf("%s from version %d has led to version %d, want %d", name, f.version, got, newest)
				}

				k.serves(t, db)
			}
		}
	})
}

// serves checks that a store reads the records of a fixture and works on.
func (k kind) serves(t *testing.T, db *sql.DB) {
	t.Helper()

	s, err := newStore(db, k.dialect, sqlstore.WithTimeout(generous))
	if err != nil {
		t.Fatal(err)
	}

	for name, want := range keptRecords {
		claim := keptClaim(name)
		rec := lookup(t, s, claim.Key).Record

		if rec.State != want.state || !bytes.Equal(rec.Outcome, want.outcome) || rec.Token != claim.Token ||
			rec.Fingerprint != claim.Fingerprint || rec.Guarantee != claim.Guarantee || rec.Retention != claim.Retention ||
			rec.Method != claim.Method || rec.ReadableKey != claim.ReadableKey || rec.Fence != 1 || rec.FirstStart.IsZero() {
			t.Errorf("%s: the record is %+v", name, rec)
		}
	}

	// The duplicate of a completed call is replayed, and a late owner completes its run.
	again := keptClaim("completed")
	again.Token = newToken()

	if res, err := s.Claim(t.Context(), again); err != nil || res.Applied || res.Record.State != store.Completed {
		t.Errorf("a duplicate got %+v, %v", res, err)
	}

	res, err := s.Complete(t.Context(), completion(keptClaim("running"), "late"))
	must(t, res, err)

	k.works(t, db)
}

// F97: the text of an older build once put the version back, and its store went on.
func TestF97AnOlderBuildLeavesNewerTablesAlone(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		open, db := k.open(t)
		claim := newClaim()
		start(t, open, claim)
		execute(t, db, later)

		newer := k.version(t, db)

		if err := sqlstore.Migrate(t.Context(), db, k.dialect); !errors.Is(err, sqlstore.ErrNewerSchema) {
			t.Errorf("Migrate returned %v", err)
		}

		text, err := sqlstore.Schema(k.dialect)
		if err != nil {
			t.Fatal(err)
		}

		execute(t, db, text)

		if got := k.version(t, db); got != newer {
			t.Errorf("the version is %d, want %d", got, newer)
		}

		if _, err := newStore(db, k.dialect); !errors.Is(err, sqlstore.ErrNewerSchema) {
			t.Errorf("New returned %v", err)
		}

		// A store that is open when a newer build migrates works until it is replaced.
		res, err := open.Complete(t.Context(), completion(claim, "paid"))
		must(t, res, err)
		start(t, open, newClaim())

		if _, err := open.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// F97: builds without the view once refused to start after a newer build had made it.
func TestF97TheViewForPeopleDoesNotChangeTheVersion(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		k.fixtures(t, 1)[0].load(t, db) // by a build without the view

		before := k.version(t, db)

		text, err := sqlstore.Schema(k.dialect)
		if err != nil {
			t.Fatal(err)
		}

		execute(t, db, text)

		if got := k.version(t, db); got != before {
			t.Errorf("the version is %d, and was %d without the view", got, before)
		}

		claim := keptClaim("completed")
		if got := k.shown(t, db, claim.Key); got.state.String != store.Completed.String() || got.damaged {
			t.Errorf("the record is shown as %+v", got)
		}
	})
}

// F97: the text of an older build, and the same text again, keep the changes of a newer build or an administrator.
func TestF97TextThatIsExecutedAgainKeepsWhatOthersHaveChanged(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		_, db := k.open(t)
		claim := keptClaim("completed")

		text, err := sqlstore.Schema(k.dialect)
		if err != nil {
			t.Fatal(err)
		}

		mustBe := func(query, want string) {
			t.Helper()

			var got string
			if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %q, %v, want %q", query, got, err, want)
			}
		}

		const settings = "SELECT array_to_string(reloptions, ' ') FROM pg_class WHERE relname = 'onlyonce_records'"

		if k.dialect == sqlstore.PostgreSQL {
			mustBe(settings, "fillfactor=85 autovacuum_vacuum_scale_factor=0.02 autovacuum_analyze_scale_factor=0.02 vacuum_truncate=false")
			execute(t, db, "ALTER TABLE onlyonce_records RESET (vacuum_truncate);\n"+
				"ALTER TABLE onlyonce_records SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01)")
		}

		// A view of a newer build, with a column more, then one whose columns are others.
		for _, columns := range []string{k.viewed(t, db) + ", 'later' AS later", "'later' AS later"} {
			execute(t, db, "DROP VIEW onlyonce_records_readable;\nCREATE VIEW onlyonce_records_readable AS SELECT "+columns+
				" FROM onlyonce_records")
			execute(t, db, text)

			switch k.dialect {
			case sqlstore.PostgreSQL, sqlstore.SQLite:
				mustBe("SELECT count(*) FROM onlyonce_records_readable WHERE later = 'later'", "0")
			case sqlstore.MySQL:
				mustBe("SELECT count(*) FROM onlyonce_records_readable WHERE damaged", "0")
			}
		}

		if k.dialect == sqlstore.PostgreSQL {
			mustBe(settings, "autovacuum_analyze_scale_factor=0.02 fillfactor=70 autovacuum_vacuum_scale_factor=0.01")
		}

		// To get the view of this build, drop the other one.
		execute(t, db, "DROP VIEW onlyonce_records_readable")
		execute(t, db, text)

		s := k.on(t, db)
		start(t, s, claim)

		if got := k.shown(t, db, claim.Key); got.state.String != store.Running.String() {
			t.Errorf("the record is shown as %+v", got)
		}
	})
}

// viewed are columns of the table under the names and in the order of the view's.
func (k kind) viewed(t *testing.T, db *sql.DB) string {
	t.Helper()

	rows, err := db.QueryContext(t.Context(), "SELECT * FROM onlyonce_records_readable") //nolint:unqueryvet // the test compares the columns
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()

	names, err := rows.Columns()
	if err != nil || rows.Err() != nil {
		t.Fatal(err, rows.Err())
	}

	for i, name := range names {
		names[i] = "NULL AS " + name
	}

	return strings.Join(names, ", ")
}

// record writes the fixture of this build's version.
func (k kind) record(t *testing.T, f fixture) {
	t.Helper()

	text, err := sqlstore.Schema(k.dialect)
	if err != nil {
		t.Fatal(err)
	}

	s, db := k.open(t)

	all := make([]string, 0, 1+len(keptRecords))
	all = append(all, text)

	for name, kept := range keptRecords {
		claim := keptClaim(name)
		start(t, s, claim)
		res, err := kept.ends(t.Context(), s, claim)
		must(t, res, err)

		all = append(all, k.rows(db).literal(t, claim.Key))
	}

	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(f.path, []byte(strings.Join(all, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// literal is the statement that inserts the row of a key.
func (r rows) literal(t *testing.T, key store.Key) string {
	t.Helper()

	row := r.get(t, key)
	names := slices.Sorted(maps.Keys(row))

	var values []string

	for _, name := range names {
		switch value := row[name].(type) {
		case int64:
			values = append(values, strconv.FormatInt(value, 10))
		case []byte:
			values = append(values, r.bytes(name, value))
		case string:
			values = append(values, r.bytes(name, []byte(value)))
		default:
			t.Fatalf("%s is a %T", name, value)
		}
	}

	return fmt.Sprintf("\nINSERT INTO %s (%s)\nVALUES (%s);\n", r.table, strings.Join(names, ", "), strings.Join(values, ", "))
}

// bytes are a literal of a column.
func (r rows) bytes(column string, value []byte) string {
	switch {
	case column == "method" || column == "readable_key":
		return "'" + string(value) + "'"
	case r.dialect == sqlstore.PostgreSQL:
		return fmt.Sprintf(`'\x%x'`, value)
	default:
		return fmt.Sprintf("X'%x'", value)
	}
}

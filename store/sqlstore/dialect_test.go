package sqlstore

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestEveryDialectHasWhatEveryStoreNeeds(t *testing.T) {
	t.Parallel()

	for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
		have := statementsOf(t, d, DefaultTable)

		for _, name := range []string{
			"read", "read_locked", "insert", "update", "list", "list_running", "sweep", "sweep_unsettled", "forget", "version",
		} {
			if have[name] == "" {
				t.Errorf("%v has no %s", d, name)
			}
		}

		for _, name := range []string{"versions", "version_locked", "version_set", "check", "migrations/0001"} {
			if readFile(d, name) == "" {
				t.Errorf("%v has no %s", d, name)
			}
		}

		for i, text := range migrations(d) {
			if text == "" {
				t.Errorf("%v has no migration %d", d, i+1)
			}
		}
	}
}

// Which statement asks for session state would not survive a pooler.
func TestNoStatementNeedsASession(t *testing.T) {
	t.Parallel()

	err := fs.WalkDir(files, "sql", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}

		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}

		words := strings.FieldsFunc(strings.ToLower(string(data)), func(r rune) bool {
			return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
		})

		for _, word := range []string{"advisory", "pg_advisory_lock", "get_lock", "listen", "prepare", "temporary", "now"} {
			if i := slices.Index(words, word); i >= 0 && (word != "now" || strings.Contains(string(data), "now()")) {
				t.Errorf("%s has %s", name, word)
			}
		}

		if path.Ext(name) != ".sql" || !strings.HasPrefix(string(data), "-- ") {
			t.Errorf("%s does not begin by saying what it does", name)
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnUnknownDialectIsRefused(t *testing.T) {
	t.Parallel()

	for _, d := range []Dialect{-1, 0, SQLite + 1} {
		if _, err := Schema(d); err == nil || !strings.Contains(err.Error(), d.String()) {
			t.Errorf("Schema(%d) returned %v", int(d), err)
		}
	}
}

func TestOptionsThatMakeNoSenseAreRefusedTogether(t *testing.T) {
	t.Parallel()

	_, err := configure(SQLite, []Option{WithTable("a b"), WithTimeout(0), WithSweep(0, 0)})
	if err == nil {
		t.Fatal("accepted")
	}

	for _, option := range []string{"WithTable", "WithTimeout", "WithSweep"} {
		if !strings.Contains(err.Error(), option) {
			t.Errorf("%v does not speak of %s", err, option)
		}
	}

	if _, err := New(nil, SQLite); err == nil {
		t.Error("New has taken no database for one")
	}

	if err := Migrate(t.Context(), nil, SQLite); err == nil {
		t.Error("Migrate has taken no database for one")
	}
}

//go:build unix

package sqltest

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAServerKeepsWhatIsCommittedWhenItIsKilled(t *testing.T) {
	for _, kind := range kinds {
		for name, options := range map[string][]Option{"synced": nil, "not synced": {WithoutSync()}} {
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				began := time.Now()
				s := kind.server(t, options...)
				t.Logf("started in %v", time.Since(began))
				addr := s.Addr()
				db := s.DB(t)

				run(t, db, "CREATE TABLE t (v int)")
				run(t, db, "INSERT INTO t VALUES (1)")

				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}

				if _, err := tx.ExecContext(t.Context(), "INSERT INTO t VALUES (2)"); err != nil {
					t.Fatal(err)
				}

				s.Kill()

				if err := tx.Commit(); err == nil {
					t.Error("the killed server commits")
				}

				if err := db.PingContext(t.Context()); err == nil {
					t.Error("the killed server answers")
				}

				began = time.Now()
				s.Restart()
				t.Logf("restarted in %v", time.Since(began))

				if s.Addr() != addr {
					t.Errorf("it is at %s, was at %s", s.Addr(), addr)
				}

				holds(t, s.Database, 1)
			})
		}
	}
}

func TestAPausedServerDoesNotAnswerUntilItIsResumed(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.server(t)
			db := s.DB(t)

			if err := db.PingContext(t.Context()); err != nil {
				t.Fatal(err)
			}

			s.Pause()

			// The session that was there does not answer, and there is no other.
			for range 2 {
				if err := ping(t, db, 50*time.Millisecond); err == nil {
					t.Error("the paused server answers")
				}
			}

			s.Resume()

			if err := db.PingContext(t.Context()); err != nil {
				t.Errorf("after it was resumed: %v", err)
			}
		})
	}
}

func ping(t *testing.T, db *sql.DB, patience time.Duration) error {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	return db.PingContext(ctx)
}

func TestAServerThatDoesNotStartReportsWhy(t *testing.T) {
	for _, k := range []kind{postgres{}, mariadb{}} {
		if _, err := boot(k, []Option{WithArgs("--no_such_thing=1")}); err == nil || !strings.Contains(err.Error(), "no_such_thing") {
			t.Errorf("got %v", err)
		}
	}
}

// Two servers that start at the same time would otherwise remove each other's tables.
func TestMariaDBLeavesTheFilesOfOthersAlone(t *testing.T) {
	// The path of the server's socket in the test's own folder would be too long.
	shared, err := os.MkdirTemp("", "m") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = os.RemoveAll(shared) })
	t.Setenv("TMPDIR", shared)

	others := filepath.Join(shared, "#sql-temptable-1-1-0.MAI")
	if err := os.WriteFile(others, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	MariaDB(t)

	if _, err := os.Stat(others); err != nil {
		t.Errorf("the file of another server: %v", err)
	}
}

func TestFreshDatabasesAreEmpty(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			for range 2 {
				d := kind.shared(t)
				run(t, d.DB(t), "CREATE TABLE t (v int)")
				holds(t, d, 0)
			}
		})
	}
}

func TestADatabaseOfSQLiteIsAFileWithAWriteAheadLog(t *testing.T) {
	d := SQLite(t)
	run(t, d.DB(t), "CREATE TABLE t (v int)")
	holds(t, d, 0)

	var mode string
	if err := d.DB(t).QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("the journal is %q, %v", mode, err)
	}
}

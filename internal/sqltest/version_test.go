//go:build unix

package sqltest

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

func TestTheServersAreListedAsTested(t *testing.T) {
	databases := map[string]*Database{"SQLite": SQLite(t)}
	for _, kind := range kinds {
		databases[kind.name] = kind.shared(t)
	}

	for name, d := range databases {
		query := map[string]string{"SQLite": "SELECT sqlite_version()", "PostgreSQL": "SHOW server_version"}[name]
		if query == "" {
			query = "SELECT version()"
		}

		var version string
		if err := d.DB(t).QueryRowContext(t.Context(), query).Scan(&version); err != nil {
			t.Fatal(err)
		}

		mustBeListed(t, name, version)
	}

	pgbouncer, err := find("pgbouncer", "pgbouncer", "/usr/sbin")
	if err != nil {
		t.Fatal(err)
	}

	out, err := exec.Command(pgbouncer, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}

	line, _, _ := strings.Cut(string(out), "\n")
	mustBeListed(t, "PgBouncer", strings.TrimPrefix(line, "PgBouncer "))
}

func mustBeListed(t *testing.T, server, version string) {
	t.Helper()
	t.Log(server, version)

	if err := servers.Listed(server, version); err != nil {
		t.Error(err)
	}
}

//go:build unix

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// TestMain makes the test binary a service if the demo has started it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serviceCommand {
		if err := Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}

		os.Exit(0)
	}

	// The race detector holds every process back for a second when it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}

	goleak.VerifyTestMain(sqltest.Shared(m))
}

// quietly returns a file for the standard error of the services, which must stay empty.
func quietly(t *testing.T, d *demo) {
	t.Helper()

	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}

	d.childErrors = said

	t.Cleanup(func() {
		said.Close()

		if text, err := os.ReadFile(said.Name()); err != nil || len(text) > 0 {
			t.Errorf("the services say: %s (%v)", text, err)
		}
	})
}

func mustShow(t *testing.T, d *demo) string {
	t.Helper()
	quietly(t, d)

	var out bytes.Buffer
	if err := d.show(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}

	return out.String()
}

func TestEveryOrderHappensOnceAlthoughAllServicesAreKilled(t *testing.T) {
	d := newDemo(30, t.TempDir())
	d.workers, d.lease = 8, 600*time.Millisecond
	out := mustShow(t, d)

	want := regexp.MustCompile(`\nwithout orders=30 paid=30 stock_moved=30 doubled=[1-9]\d* missing=0\n` +
		`result orders=30 paid=30 stock_moved=30 doubled=0 missing=0\n$`)
	if !want.MatchString(out) {
		t.Errorf("the output does not end with the two lines:\n%s", out)
	}

	mustBeAPicture(t, filepath.Join(d.folder, "chain.html"))
}

func TestEveryOrderHappensOnceOnPostgreSQL(t *testing.T) {
	base := sqltest.PostgresDatabase(t)
	d := newDemo(20, t.TempDir())
	d.postgres = base.DSN()
	d.workers, d.lease = 8, 600*time.Millisecond

	if out := mustShow(t, d); !strings.HasSuffix(out, "result orders=20 paid=20 stock_moved=20 doubled=0 missing=0\n") {
		t.Errorf("the output does not end with the result:\n%s", out)
	}

	var left int

	err := base.DB(t).QueryRowContext(t.Context(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'onlyonce\\_%'").Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d databases are left, %v", left, err)
	}
}

func TestAnAuditIsGoodOnlyIfEverythingHasHappenedOnce(t *testing.T) {
	good := audit{paid: 1, stockMoved: 1, charges: 1}
	if !good.good(1) {
		t.Error("an audit in which everything has happened once is not good")
	}

	for name, spoil := range map[string]func(*audit){
		"charged twice": func(a *audit) { a.charges++ },
		"doubled":       func(a *audit) { a.doubled++ },
		"missing":       func(a *audit) { a.missing++ },
		"never paid":    func(a *audit) { a.paid-- },
		"never moved":   func(a *audit) { a.stockMoved-- },
		"pieces gone":   func(a *audit) { a.pieces++ },
	} {
		bad := good
		spoil(&bad)

		if bad.good(1) {
			t.Errorf("%s: the audit is good", name)
		}
	}
}

func TestCommandsRefuseWrongUse(t *testing.T) {
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "plain-orders.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, args := range [][]string{
		{"shop"}, {"demo", "extra"}, {"demo", "-nonsense"}, {"demo", "-orders", "0"}, {"demo", "-workers", "0"},
		{"demo", "-folder", "/dev/null/x"}, {"demo", "-folder", used},
	} {
		if err := Run(t.Context(), args, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Errorf("run %q: no error", args)
		}
	}
}

func TestTheErrorAboutAServerKeepsThePassword(t *testing.T) {
	for _, url := range []string{"postgres://user:secret@127.0.0.1:1/postgres?connect_timeout=1", "postgres://user:secret%zz@host"} {
		d := newDemo(1, t.TempDir())
		d.postgres = url

		if err := d.show(t.Context(), new(bytes.Buffer)); err == nil || strings.Contains(err.Error(), "secret") || errors.Is(err, errNotShown) {
			t.Errorf("show: %v", err)
		}
	}
}

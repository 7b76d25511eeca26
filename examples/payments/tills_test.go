//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// urls are databases as this program knows them.
func urls(t *testing.T) map[string]func(t *testing.T) string {
	t.Helper()

	return map[string]func(t *testing.T) string{
		"SQLite": func(t *testing.T) string {
			t.Helper()
			return "sqlite:" + filepath.Join(t.TempDir(), "payments of may.db")
		},
		"PostgreSQL": func(t *testing.T) string { t.Helper(); return sqltest.PostgresDatabase(t).DSN() },
		"MariaDB": func(t *testing.T) string {
			t.Helper()

			db := sqltest.MariaDBDatabase(t)

			return (&url.URL{Scheme: "mysql", User: url.User("root"), Host: db.Addr(), Path: "/" + db.Name()}).String()
		},
	}
}

func TestDemoOnADatabaseChargesEveryOrderOnceAlthoughServersAreKilledBeforeTheyCommit(t *testing.T) {
	for name, open := range urls(t) {
		t.Run(name, func(t *testing.T) {
			said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			if err != nil {
				t.Fatal(err)
			}
			defer said.Close()

			address, servers := open(t), 0

			d := newDemo(someOrders(t, 150))
			d.childErrors = said
			d.workers = 8

			if strings.HasPrefix(address, "sqlite:") { // which takes its time under the race detector, one transaction after the other
				d.workers, d.patience = 3, 2*d.patience
				d.retry.AttemptTimeout, d.faults.Delay = time.Second, 1500*time.Millisecond
			}

			if shared, err := checkStore(t.Context(), address, &servers); err != nil || !shared || servers != 2 {
				t.Fatalf("shared %t by %d servers, %v", shared, servers, err)
			}

			d.share(address, servers)

			var out bytes.Buffer
			if err := d.show(t.Context(), &out); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}

			for _, want := range []string{
				`\n +servers killed +3 +3 +0\n +unknown outcomes +- +0 +\d+\n`,
				`\nresult mode=plain requested=150 charged=\d+ doubled=[1-9]\d* missing=\d+\n` +
					`result mode=onlyonce requested=150 charged=150 doubled=0 missing=0\n` +
					`result mode=nokit requested=150 charged=\d+ doubled=0 unknown=[1-9]\d*\n$`,
			} {
				if !regexp.MustCompile(want).MatchString(out.String()) {
					t.Errorf("the output does not match %q:\n%s", want, out.String())
				}
			}

			if text, err := os.ReadFile(said.Name()); err != nil || len(text) > 0 {
				t.Errorf("the processes say: %s (%v)", text, err)
			}

			mustHavePaid(t, d)
		})
	}
}

// mustHavePaid reads from the tables that every order has one payment and one record.
func mustHavePaid(t *testing.T, d *demo) {
	t.Helper()

	db, err := openDatabase(d.shared, true)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	for query, args := range map[string][]any{
		"SELECT count(*) FROM " + paymentsTable + " WHERE run = ?": {d.prefix + string(modeOnlyonce)},
		"SELECT count(*) FROM " + recordsTable:                     nil,
	} {
		var n int
		if err := db.QueryRowContext(t.Context(), db.numbered(query), args...).Scan(&n); err != nil || n != len(d.orders) {
			t.Errorf("%s: %d, %v; want %d", query, n, err, len(d.orders))
		}
	}
}

func TestF87DemoReportsAnUnusableDatabaseBeforeAnythingIsCharged(t *testing.T) {
	folder := t.TempDir()

	text := filepath.Join(folder, "orders.csv")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}

	for address, want := range map[string]string{
		"sqlite:":                               "sqlite:payments.db",
		"sqlite://payments.db":                  "sqlite:payments.db",
		"sqlite::memory:":                       "memory:",
		"sqlite:" + text:                        "not a database",
		"sqlite:" + folder + "/no/such/a.db":    "folder",
		"postgres://user:secret@127.0.0.1:1/db": "cannot be reached",
		"postgres://user:secret%zz@host/db":     "the user or the password has a character",
		"postgres://user:secret/1@host/db":      "the user or the password has one of the characters / ? #",
		"postgresql://user:secret@host:port/db": "the host or the port is wrong: write it as in postgres://user:password@host:5432/database",
		"postgres://user:secret@h/db?sslmode=x": "the options behind the question mark",
		"mysql://":                              "nothing is behind its scheme",
		"mysql://user:secret@127.0.0.1:1/db":    "cannot be reached",
		"mysql://user:secret@127.0.0.1:1":       "the name of the database",
		"mysql://user:secret@/db":               "the host or the port is wrong",
		"mysql://user:secret%zz@127.0.0.1/db":   "the user or the password has a character",
		"mysql://user:secret@h/db?tls=unknown":  "are wrong: write it as in mysql://user:password@host:3306/database",
	} {
		var out bytes.Buffer

		err := run(t.Context(), []string{"demo", "-store", address}, &out, new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was charged") ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("run with %s: %v, want an error that says %q", address, err, want)
		}

		if out.Len() > 0 {
			t.Errorf("the demo began all the same:\n%s", out.String())
		}
	}
}

func TestServersThatShareADatabaseReplayEachOthersPayments(t *testing.T) {
	address := "sqlite:" + filepath.Join(t.TempDir(), "payments.db")

	for i, want := range []string{`"executed"`, `"replayed"`} {
		ctx, stop := context.WithCancel(t.Context())
		said := make(lineWriter, 1)
		stopped := make(chan error, 1)

		go func() {
			stopped <- run(ctx, []string{"serve", "-addr", "127.0.0.1:0", "-store", address}, said, io.Discard)
		}()

		addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(<-said)

		var out bytes.Buffer
		if err := run(t.Context(), []string{"pay", "-addr", addr}, &out, io.Discard); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("server %d: %v, want %s\n%s", i+1, err, want, out.String())
		}

		stop()

		if err := <-stopped; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

package cron_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // the driver

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/jobs"
	"github.com/onlyonce-go/onlyonce/examples/jobs/cron"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// databaseOfChild is the environment variable that makes the test binary a scheduler.
const databaseOfChild = "ONLYONCE_EXAMPLE_SCHEDULER"

func TestMain(m *testing.M) {
	if path := os.Getenv(databaseOfChild); path != "" {
		fmt.Println(schedule(path))
		os.Exit(0)
	}

	goleak.VerifyTestMain(m)
}

// schedule is a scheduler whose only tick comes when its parent closes the pipe.
func schedule(path string) error {
	db, err := open(path)
	if err != nil {
		return err
	}

	// One of the processes may stand still while the other one waits for it.
	records, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithTimeout(servertest.Patience))
	if err != nil {
		return err
	}

	engine, err := onlyonce.New(records, onlyonce.WithPolicy(jobs.Policy()),
		onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: servertest.Patience}))
	if err != nil {
		return err
	}

	payouts := &jobs.Payouts{Engine: engine, Pay: func(ctx context.Context, day time.Time) error {
		_, err := db.ExecContext(ctx, "INSERT INTO paid (day) VALUES ($1)", day.Format(time.DateOnly))

		return err
	}}

	fmt.Println("ready")

	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}

	for { // a day that the other process is paying for is tried again
		err := cron.PayOut(context.Background(), time.Date(2026, 11, 30, 2, 0, 0, 0, time.UTC), payouts)
		if err == nil {
			return nil
		}

		if !strings.Contains(err.Error(), "IN_PROGRESS") {
			return err
		}
	}
}

func open(path string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
}

func TestTwoProcessesThatFireAtOncePayOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")

	db, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	if err := sqlstore.Migrate(t.Context(), db, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}

	if _, err := db.ExecContext(t.Context(), "CREATE TABLE paid (day TEXT)"); err != nil {
		t.Fatal(err)
	}

	processes := []*process{start(t, path), start(t, path)}

	for _, p := range processes {
		if line := p.line(t); line != "ready" {
			t.Fatalf("a scheduler says %q", line)
		}
	}

	for _, p := range processes {
		if err := p.stdin.Close(); err != nil {
			t.Error(err)
		}
	}

	for _, p := range processes {
		if line := p.line(t); line != "<nil>" {
			t.Errorf("a scheduler ends with %q", line)
		}
	}

	var rows, days int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*), count(DISTINCT day) FROM paid").Scan(&rows, &days); err != nil {
		t.Fatal(err)
	}

	if rows != cron.CatchUp || days != cron.CatchUp {
		t.Errorf("%d payments for %d days, want %d for each", rows, days, cron.CatchUp)
	}
}

// process is a scheduler.
type process struct {
	stdin  io.WriteCloser
	stdout *bufio.Scanner
}

func start(t *testing.T, path string) *process {
	t.Helper()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), databaseOfChild+"="+path)
	cmd.Stderr = os.Stderr

	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}

	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})

	return &process{stdin: stdin, stdout: bufio.NewScanner(stdout)}
}

func (p *process) line(t *testing.T) string {
	t.Helper()

	if !p.stdout.Scan() {
		t.Fatal("a scheduler has ended without a word: ", p.stdout.Err())
	}

	return p.stdout.Text()
}

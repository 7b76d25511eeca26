//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// program runs this program with a command, and returns what it prints and its exit status.
func program(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()

	var out, said bytes.Buffer

	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Stdout, cmd.Stderr = &out, &said

	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}

	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// resultOf reads the last line of the demonstration of unknown outcomes.
func resultOf(t *testing.T, out string) (unknown, settled, doubled, missing int) {
	t.Helper()

	found := regexp.MustCompile(`\n\nresult unknown=(\d+) settled=(\d+) doubled=(\d+) missing=(\d+)\n$`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("the output does not end with the result line:\n%s", out)
	}

	numbers := make([]int, 0, len(found))

	for _, text := range found[1:] {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}

		numbers = append(numbers, n)
	}

	return numbers[0], numbers[1], numbers[2], numbers[3]
}

func TestF04ReconcilersSettleEveryPaymentOfKilledServers(t *testing.T) {
	redis := redistest.Standalone(t)

	for name, args := range map[string][]string{
		"a temporary SQLite": nil,
		"Redis":              {"-store", redis.URL()},
		"PostgreSQL":         {"-store", sqltest.PostgresDatabase(t).DSN()},
	} {
		t.Run(name, func(t *testing.T) {
			out, said, status := program(t, append([]string{"unknown"}, args...)...)

			if status != 0 {
				t.Fatalf("the exit status is %d, want 0:\n%s%s", status, out, said)
			}

			unknown, settled, doubled, missing := resultOf(t, out)
			// A store that stands still for seconds refuses some payments.
			if least := unknownOrders / 20; unknown < least || settled != unknown || doubled+missing > 0 {
				t.Errorf("the result is not that all of at least %d unknown outcomes are settled:\n%s", least, out)
			}
		})
	}

	// What is left expires, and the index, which does not, is empty.
	left, err := redis.Client().Keys(t.Context(), "*index:*").Result()
	if err != nil || len(left) > 0 {
		t.Errorf("of the index there is left: %q, %v", left, err)
	}
}

func TestTheDemoOfUnknownOutcomesFailsWithoutReconcilers(t *testing.T) {
	address, servers := "sqlite:"+filepath.Join(t.TempDir(), "records.db"), 0

	if _, err := checkStore(t.Context(), address, &servers); err != nil {
		t.Fatal(err)
	}

	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)

	// Several processes write to it at the same time, so it is a file.
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()

	var out bytes.Buffer

	d := newUnknownDemo(address, &out, said, fail)
	d.settlers, d.patience = 0, 1

	closeStore, err := d.open()
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore()

	err = d.show(ctx)
	if !errors.Is(err, errNotShown) || !regexp.MustCompile(`\b0 of [1-9]`).MatchString(err.Error()) || exitStatus(err) != 1 {
		t.Errorf("show: %v (%v), want %v\n%s", err, context.Cause(ctx), errNotShown, out.String())
	}

	if strings.Contains(out.String(), "result ") {
		t.Errorf("there is a result all the same:\n%s", out.String())
	}
}

func TestTheDemoOfUnknownOutcomesRefusesWrongUseBeforeAServerStarts(t *testing.T) {
	for name, refused := range map[string]struct {
		args   []string
		want   string
		status int
	}{
		"a store in memory":          {[]string{"-store", memory}, "leave -store out", 1},
		"no such store":              {[]string{"-store", "ftp:x"}, "there is no store of kind", 1},
		"a store that is not there":  {[]string{"-store", "redis://127.0.0.1:1"}, "cannot be reached", 1},
		"an argument that is no use": {[]string{"extra"}, "takes no argument", 1},
		"no such flag":               {[]string{"-nonsense"}, "flag provided but not defined", 2},
		"help":                       {[]string{"-h"}, "a temporary SQLite database", 2},
	} {
		t.Run(name, func(t *testing.T) {
			out, said, status := program(t, append([]string{"unknown"}, refused.args...)...)
			if out != "" || !strings.Contains(said, refused.want) || status != refused.status {
				t.Errorf("exit status %d, output %q, and it says %q; want %d and %q", status, out, said, refused.status, refused.want)
			}
		})
	}
}

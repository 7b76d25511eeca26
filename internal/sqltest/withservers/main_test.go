//go:build unix

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// note is a command that writes its environment into a file.
const note = "echo $ONLYONCE_TEST_POSTGRES $ONLYONCE_TEST_MARIADB $TMPDIR >"

// isGone checks that everything named in the file is gone.
func isGone(t *testing.T, file string) {
	t.Helper()

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	given := strings.Fields(string(text))
	if len(given) != 3 {
		t.Fatalf("the command has been given %q", given)
	}

	for _, addr := range given[:2] {
		if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connecting to %s: %v", addr, err)
		}
	}

	if _, err := os.Stat(given[2]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder for temporary files: %v", err)
	}
}

func TestServersEndWithTheCommand(t *testing.T) {
	t.Setenv("TMPDIR", os.TempDir())

	file := filepath.Join(t.TempDir(), "given")
	answers := "for a in $ONLYONCE_TEST_POSTGRES $ONLYONCE_TEST_MARIADB; do : </dev/tcp/${a/://}; done; "

	if status, err := run(t.Context(), []string{"bash", "-ec", answers + note + file + "; exit 3"}); status != 3 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}

	isGone(t, file)
}

func TestServersEndWhenTheCommandIsInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", os.TempDir())

	file := filepath.Join(t.TempDir(), "given")

	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	go func() {
		defer cancel()

		_, _ = os.ReadFile(pipe) // until the command has opened and closed it
	}()

	if status, err := run(ctx, []string{"bash", "-ec", note + file + "; : >" + pipe + "; exec sleep 600"}); status != 1 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}

	isGone(t, file)
}

func TestACommandThatDoesNotExistIsAnError(t *testing.T) {
	t.Setenv("TMPDIR", os.TempDir())

	if status, err := run(t.Context(), []string{"/no/such/program"}); err == nil {
		t.Errorf("status %d", status)
	}
}

//go:build unix

// Command withservers runs a command with a PostgreSQL and a MariaDB server. The environment names the servers for the tests of package
// sqltest: ONLYONCE_TEST_POSTGRES and ONLYONCE_TEST_MARIADB have host:port. The users are postgres and root, without a password.
//
//	withservers go test ./...
//
// It returns the status of the command. The servers end with it, even on an interrupt. Temporary files of the command are in a folder that
// is removed at the end.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// grace is how long the command may run after an interrupt.
const grace = time.Minute

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: withservers COMMAND [ARGUMENT...]")
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status, err := run(ctx, os.Args[1:])

	stop()

	if err != nil {
		fmt.Fprintln(os.Stderr, "withservers:", err)

		status = max(status, 1)
	}

	os.Exit(status)
}

// run runs a command and returns its status.
func run(ctx context.Context, args []string) (status int, err error) {
	dir, err := os.MkdirTemp("", "onlyonce-")
	if err != nil {
		return 0, fmt.Errorf("making a folder for temporary files: %w", err)
	}

	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	// A server may run as another user.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}

	if err := os.Setenv("TMPDIR", dir); err != nil {
		return 0, err
	}

	environment, end, err := sqltest.Serve()
	if err != nil {
		return 0, err
	}

	defer func() { err = errors.Join(err, end()) }()

	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace

	err = cmd.Run()
	if ended := new(exec.ExitError); errors.As(err, &ended) {
		return max(ended.ExitCode(), 1), nil // the command has printed the reason
	}

	return 0, err
}

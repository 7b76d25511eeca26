//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// times are what differs from run to run.
var times = regexp.MustCompile(`in \d+ s, \d+ s of CPU`)

// together runs commands, and returns what is printed, without times.
func together(t *testing.T, jobs int, commands ...string) (out string, ok bool) {
	t.Helper()

	var b bytes.Buffer

	ok = run(t.Context(), &b, jobs, commands)

	return times.ReplaceAllString(b.String(), "in N s"), ok
}

func TestOutputIsPrintedWholeAndFailuresComeLast(t *testing.T) {
	out, ok := together(t, 1, "echo a >&2; echo b", "printf c; exit 3", "echo e")
	want := strings.Join([]string{
		"-- echo a >&2; echo b", "a", "b", "-- ok in N s",
		"-- failed, its output follows below: printf c; exit 3",
		"-- echo e", "e", "-- ok in N s",
		"-- printf c; exit 3", "c", "-- FAILED (exit status 3) in N s",
		"-- 1 failed:", "   printf c; exit 3", "",
	}, "\n")

	if out != want || ok {
		t.Errorf("%v:\n%s", ok, out)
	}
}

func TestAllThatSucceedIsSuccess(t *testing.T) {
	if out, ok := together(t, 3, "true", "true"); !ok || strings.Count(out, "-- ok") != 2 {
		t.Errorf("%v:\n%s", ok, out)
	}
}

// Each of the commands ends when both have begun.
func TestCommandsRunBesideEachOther(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}

	out, ok := together(t, 2, "read line <"+pipe+"; echo read $line", "echo hello >"+pipe)
	if !ok || !strings.Contains(out, "read hello\n") {
		t.Errorf("%v:\n%s", ok, out)
	}
}

func TestNoMoreCommandsRunThanThereIsRoomFor(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	alone := "mkdir " + lock + "; rmdir " + lock

	if out, ok := together(t, 1, alone, alone, alone, alone); !ok {
		t.Errorf("two ran at once:\n%s", out)
	}
}

func TestAnInterruptEndsACommandWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}

	ended := make(chan string)

	go func() {
		var b bytes.Buffer

		run(ctx, &b, 1, []string{"sleep 600 >" + pipe + " & wait", "echo never"})

		ended <- b.String()
	}()

	alive, err := os.Open(pipe) // which waits for the child
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()

	cancel()

	if out := <-ended; !strings.Contains(out, "-- 1 failed:\n") || !strings.Contains(out, "interrupted: 1 did not start\n") {
		t.Errorf("printed:\n%s", out)
	}

	// The other end is closed when nobody is left.
	if _, err := io.ReadAll(alive); err != nil {
		t.Error(err)
	}
}

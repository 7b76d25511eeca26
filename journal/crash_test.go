//go:build unix

package journal

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	childVariable = "JOURNAL_TEST_CHILD"
	childPoint    = "JOURNAL_TEST_POINT"
)

// child writes calls and removes every second one, until it kills itself at a point. It prints what is on the disk.
func child(path, point string) {
	env := realEnvironment()
	passed := 0
	env.at = func(at string) {
		passed++

		if at == point && passed > 60 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)

			select {}
		}
	}

	j, err := Open(path, func(c *config) { c.env, c.limits.compact = env, 2000 })
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}

	for n := range 1000 {
		call, err := j.Begin(testContext, testEntry(n))
		if err != nil {
			fmt.Fprintln(os.Stdout, "error", err)
			os.Exit(1)
		}

		fmt.Fprintln(os.Stdout, "written", testEntry(n).Key)

		if n%2 == 0 {
			fmt.Fprintln(os.Stdout, "ending", testEntry(n).Key)

			if err := call.End(testContext, nil); err != nil {
				fmt.Fprintln(os.Stdout, "error", err)
			}
		}

		if point == "lock" {
			fmt.Fprintln(os.Stdout, "locked")

			select {} // it waits for its end
		}
	}

	os.Exit(2)
}

// run starts the child and returns its lines, until it ends or prints a given line.
func run(t *testing.T, path, point, until string) (lines []string, kill func()) {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+path, childPoint+"="+point)
	cmd.Stderr = os.Stderr

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	for scan := bufio.NewScanner(out); scan.Scan(); {
		lines = append(lines, scan.Text())

		if scan.Text() == until {
			return lines, func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
		}
	}

	err = cmd.Wait()

	ended, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatalf("the child: %v", err)
	}

	if status, is := ended.Sys().(syscall.WaitStatus); !is || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, and not by SIGKILL:\n%s", err, strings.Join(lines, "\n"))
	}

	return lines, func() {}
}

func TestNoCallIsLostAndNoneComesBackWhenTheProcessIsKilledBetweenTwoSteps(t *testing.T) {
	for _, point := range []string{"before write", "written", "synced", "new file written", "new file synced", "replaced"} {
		t.Run(point, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "calls")
			lines, _ := run(t, path, point, "")

			known, ending := make(map[string]bool), make(map[string]bool)

			for _, line := range lines {
				what, key, _ := strings.Cut(line, " ")
				known[key] = known[key] || what == "written"
				ending[key] = ending[key] || what == "ending"
			}

			j := open(t, path)
			if damage := j.Damage(); len(damage) > 0 {
				t.Errorf("damage: %v", damage)
			}

			found := make(map[string]bool)
			for _, entry := range j.waiting(testTarget) {
				found[entry.Key] = true
			}

			last := lines[len(lines)-1] // its removal may have been cut off

			for key := range known {
				if !ending[key] && !found[key] {
					t.Errorf("%s is lost", key)
				}

				if ending[key] && found[key] && last != "ending "+key {
					t.Errorf("%s is there, and was removed", key)
				}
			}

			if unknown := len(found) - len(known); len(known) < 10 || unknown > 1 {
				t.Errorf("%d calls were written, and %d are there", len(known), len(found))
			}
		})
	}
}

func TestASecondProcessGetsAClearErrorAndADeadOnesLockIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	_, kill := run(t, path, "lock", "locked")

	_, err := Open(path)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("Open beside another process: %v, want ErrLocked with the process", err)
	}

	kill()

	if j := open(t, path); j.Left() != 0 {
		t.Errorf("%d calls are left, and the only one was removed", j.Left())
	}
}

func TestASecondJournalInOneProcessGetsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	j := open(t, path)

	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("Open: %v, want ErrLocked", err)
	}

	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	open(t, path)
}

//go:build unix

package servertest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// family starts a process with a child, and returns the number of the child.
func family(t *testing.T) (parent *Child, child int) {
	t.Helper()

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	// The command is not bound to the test's context. Its end would kill only the parent, before the cleanup looks for
	// the children.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-c", "sleep 600 & echo $!; wait")
	cmd.Stdout = w

	parent, err = Start(cmd)
	w.Close()

	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := parent.KillTree(); err != nil {
			t.Error(err)
		}
	})

	if _, err := fmt.Fscan(bufio.NewReader(r), &child); err != nil {
		t.Fatal(err)
	}

	return parent, child
}

// state returns the letter of a process, and an empty one when it is gone.
func state(t *testing.T, pid int) string {
	t.Helper()

	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}

	return all[pid].state
}

func TestAProcessIsPausedWithItsChildren(t *testing.T) {
	parent, child := family(t)

	if err := parent.Pause(); err != nil {
		t.Fatal(err)
	}

	for _, pid := range []int{parent.PID(), child} {
		Wait(t, "stopping", func() error {
			if s := state(t, pid); !strings.HasPrefix(s, "T") {
				return fmt.Errorf("process %d is in state %q", pid, s)
			}

			return nil
		})
	}

	if err := parent.Resume(); err != nil {
		t.Fatal(err)
	}

	for _, pid := range []int{parent.PID(), child} {
		Wait(t, "going on", func() error {
			if s := state(t, pid); strings.HasPrefix(s, "T") || s == "" {
				return fmt.Errorf("process %d is in state %q", pid, s)
			}

			return nil
		})
	}
}

func TestAProcessIsKilledWithItsChildren(t *testing.T) {
	for _, paused := range []bool{false, true} {
		parent, child := family(t)

		if paused {
			if err := parent.Pause(); err != nil {
				t.Fatal(err)
			}
		}

		if err := parent.KillTree(); err != nil {
			t.Fatal(err)
		}

		if !parent.IsEnded() {
			t.Error("the process lives")
		}

		if s := state(t, child); s != "" && !strings.HasPrefix(s, "Z") {
			t.Errorf("the child is in state %q", s)
		}

		if err := parent.KillTree(); err != nil {
			t.Errorf("killing it again: %v", err)
		}
	}
}

func TestAProgramThatIsNotThereDoesNotStart(t *testing.T) {
	if c, err := Start(exec.CommandContext(t.Context(), "/no/such/program")); err == nil {
		t.Errorf("process %d runs", c.PID())
	}
}

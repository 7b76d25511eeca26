//go:build unix

package servertest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// parentMain starts a child that holds the standard output open, and waits.
func parentMain() int {
	cmd := exec.Command("sleep", "600")
	cmd.Stdout = os.Stdout

	if _, err := Start(cmd); err != nil {
		return 1
	}

	fmt.Println("started") //nolint:forbidigo // the test waits for it

	select {}
}

func TestAServerDiesWithTheTestProcessHoweverThatDies(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // a child learns of its parent's death only on Linux: see endWithParent
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"=1")
	parent.Stdout = w

	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}

	w.Close()

	if err := r.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}

	out := bufio.NewReader(r)
	if line, err := out.ReadString('\n'); err != nil {
		t.Fatalf("the parent says %q: %v", line, err)
	}

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	_ = parent.Wait() // it was killed

	// The pipe ends when the last writer has ended.
	if _, err := io.ReadAll(out); err != nil {
		t.Errorf("the child lives on: %v", err)
	}
}

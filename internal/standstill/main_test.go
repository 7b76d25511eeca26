//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// roleVariable names what this program is: a test, the command standstill, or a child of one of them.
const roleVariable = "ONLYONCE_STANDSTILL_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		goleak.VerifyTestMain(m)
	case "standstill":
		main()
	case "echo":
		echo()
	case "parent of an echo":
		child := spawn("echo")
		child.Stdin, child.Stdout = os.Stdin, os.Stdout

		if err := child.Start(); err != nil {
			panic(err)
		}
	case "ends when continued":
		continued := make(chan os.Signal, 1)
		signal.Notify(continued, syscall.SIGCONT)
		<-continued
		os.Exit(42)
	default:
		panic(role)
	}
}

// echo prints its process ID, and then each line that it reads. Before it prints the line "stop", it stops itself.
func echo() {
	fmt.Println(os.Getpid()) //nolint:forbidigo // for the test

	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); fmt.Println(lines.Text()) { //nolint:forbidigo // for the test
		if lines.Text() != "stop" {
			continue
		}

		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			panic(err)
		}
	}
}

// spawn returns this program in a role.
func spawn(role string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr

	return cmd
}

// standstill returns the command standstill. Its command is this program in a role.
func standstill(run, stop, role string) *exec.Cmd {
	return spawn("standstill", "-run", run, "-stop", stop, "--", "env", roleVariable+"="+role, os.Args[0])
}

// echoing is a process with the role echo.
type echoing struct {
	pid int
	in  *os.File
	out *bufio.Reader
}

// startEcho starts a process, and waits for the echo that it is, or that it leaves.
func startEcho(t *testing.T, role string) (e echoing) {
	t.Helper()

	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()

	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()

	cmd := spawn(role)
	cmd.Stdin, cmd.Stdout = stdin, stdout

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	e = echoing{in: in, out: bufio.NewReader(out)}

	if e.pid, err = strconv.Atoi(e.hear(t)); err != nil {
		t.Fatal(err)
	}

	if e.pid != cmd.Process.Pid {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}

	t.Cleanup(func() {
		in.Close()

		if _, err := syscall.Wait4(e.pid, nil, 0, nil); err != nil {
			t.Error(err)
		}

		out.Close()
	})

	return e
}

func (e echoing) say(t *testing.T, line string) {
	t.Helper()

	if _, err := e.in.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

func (e echoing) hear(t *testing.T) (line string) {
	t.Helper()

	if _, err := fmt.Fscanln(e.out, &line); err != nil {
		t.Fatal(err)
	}

	return line
}

// checkStopped waits until the kernel has stopped a process.
func checkStopped(t *testing.T, pid int) {
	t.Helper()

	servertest.Wait(t, "stopping", func() error {
		if p, ok := read(pid); !ok || p.state != 'T' {
			return fmt.Errorf("process %d is in state %q", pid, p.state)
		}

		return nil
	})
}

func TestDescendantsStandStillAndGoOn(t *testing.T) {
	if err := adoptOrphans(); err != nil {
		t.Fatal(err)
	}

	child, orphan, stopsItself := startEcho(t, "echo"), startEcho(t, "parent of an echo"), startEcho(t, "echo")

	stopsItself.say(t, "stop")

	if _, err := syscall.Wait4(stopsItself.pid, nil, syscall.WUNTRACED, nil); err != nil {
		t.Fatal(err)
	}

	stopped := stopDescendants(os.Getpid())

	if want := []int{child.pid, orphan.pid}; !slices.Equal(slices.Sorted(slices.Values(stopped)), slices.Sorted(slices.Values(want))) {
		t.Errorf("stopped %v, the running ones are %v", stopped, want)
	}

	for _, e := range []echoing{child, orphan} {
		checkStopped(t, e.pid)
		e.say(t, "hello")
	}

	resume(stopped)

	for _, e := range []echoing{child, orphan} {
		if line := e.hear(t); line != "hello" {
			t.Errorf("process %d wrote %q", e.pid, line)
		}
	}

	checkStopped(t, stopsItself.pid)
	resume([]int{stopsItself.pid})

	if line := stopsItself.hear(t); line != "stop" {
		t.Errorf("the process that had stopped itself wrote %q", line)
	}
}

// The children of a stopped process are its next generation: they may run, or it may have stopped them.
func TestParentsAreStoppedBeforeTheirChildren(t *testing.T) {
	t.Parallel()

	all := []process{
		{pid: 1, parent: 0, state: 'S'},
		{pid: 10, parent: 1, state: 'S'},
		{pid: 20, parent: 10, state: 'R'},
		{pid: 21, parent: 20, state: 'S'},
		{pid: 22, parent: 20, state: 'T'},
		{pid: 23, parent: 22, state: 'D'},
		{pid: 30, parent: 10, state: 'T'},
		{pid: 31, parent: 30, state: 'S'},
		{pid: 40, parent: 10, state: 'Z'},
		{pid: 50, parent: 1, state: 'S'},
	}

	for _, c := range []struct{ stopped, want []int }{
		{nil, []int{20, 31}},
		{[]int{20, 31}, []int{21, 23}}, // although 20 is not in state T yet
		{[]int{20, 31, 21, 23}, nil},
	} {
		if got := highestRunning(all, 10, c.stopped); !slices.Equal(got, c.want) {
			t.Errorf("after %v: %v, want %v", c.stopped, got, c.want)
		}
	}
}

func TestAProcessMayHaveAnyName(t *testing.T) {
	t.Parallel()

	if p, ok := parse(12, "12 (a) T 3 (b)) S 1 12 12 0 -1"); !ok || p != (process{pid: 12, parent: 1, state: 'S'}) {
		t.Errorf("%+v, %v", p, ok)
	}

	for _, text := range []string{"", "12 (a)", "12 (a) S", "12 (a) S x", "12 (a) SS 1"} {
		if p, ok := parse(12, text); ok {
			t.Errorf("%q is %+v", text, p)
		}
	}
}

// checkCode checks the exit code of a command that runs, or has run.
func checkCode(t *testing.T, err error, want int) {
	t.Helper()

	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != want {
		t.Errorf("%v, want exit code %d", err, want)
	}
}

// The exit code says that the command was continued, too.
func TestTheExitCodeIsThatOfTheCommand(t *testing.T) {
	t.Parallel()

	checkCode(t, standstill("20ms", "1ms", "ends when continued").Run(), 42)
}

// Without an end of the standstill, the command would not end.
func TestASignalEndsAStandstillAndTheCommand(t *testing.T) {
	t.Parallel()

	cmd := standstill("1ms", "1h", "echo")

	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	servertest.Wait(t, "stopping the command", func() error {
		if !slices.ContainsFunc(processes(), func(p process) bool { return p.parent == cmd.Process.Pid && p.state == 'T' }) {
			return errors.New("it is not stopped")
		}

		return nil
	})

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	checkCode(t, cmd.Wait(), 128+int(syscall.SIGTERM))
}

// Tests wait until a process is gone. A zombie would not go.
func TestAnOrphanThatEndsIsGone(t *testing.T) {
	t.Parallel()

	const script = "pid=$(sh -c 'sleep 0.1 >&- & echo $!'); while kill -0 $pid 2>/dev/null; do sleep 0.01; done"

	if err := spawn("standstill", "-run", "1h", "--", "sh", "-c", script).Run(); err != nil {
		t.Error(err)
	}
}

func TestACommandThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()

	checkCode(t, spawn("standstill", "/no/such/program").Run(), 1)
	checkCode(t, spawn("standstill").Run(), 2)
	checkCode(t, spawn("standstill", "-stop", "0s", "true").Run(), 2)
}

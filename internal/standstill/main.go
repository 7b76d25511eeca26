//go:build linux

// Command standstill runs a command on a machine that stands still from time to time, as a machine does whose processors are taken away.
//
//	go run ./internal/standstill -run 15s -stop 3s -- go test -count=1 ./oncehttp
//	go test -count=1 -exec '/path/to/standstill -run 15s -stop 3s' ./oncehttp
//
// It stops the command and its descendants with SIGSTOP at random times, -run apart on average. It continues them after -stop. Clocks go on
// meanwhile, so leases and timeouts end. A test must hold nevertheless. The second form lets the compiler run.
//
//   - A process that was stopped by somebody else stays stopped.
//   - Processes whose parents have ended are stopped, too.
//   - Processes that the command has not started, like a database server of the system, keep running.
//   - The exit code is that of the command, or 128 plus the number of the signal that ended it.
//   - A signal that asks for the end goes to the command, and ends a standstill.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	run := flag.Duration("run", 15*time.Second, "how long the command runs between two standstills, on average")
	stop := flag.Duration("stop", 3*time.Second, "how long a standstill takes")
	flag.Parse()

	if *run <= 0 || *stop <= 0 || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: standstill [-run 15s] [-stop 3s] [--] COMMAND..., with durations above zero")
		os.Exit(2)
	}

	c, err := start(flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "standstill: start %s: %v\n", flag.Arg(0), err)
		os.Exit(1)
	}

	status, times := c.standStillAtTimes(*run, *stop)
	fmt.Fprintf(os.Stderr, "standstill: the command stood still %d times for %v\n", times, *stop)
	os.Exit(exitCode(status))
}

// command is the command that runs.
type command struct {
	process *os.Process
	ended   chan syscall.WaitStatus // receives its status
	signals chan os.Signal          // that ask for its end
}

// start starts the command.
func start(args []string) (*command, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}

	if err := adoptOrphans(); err != nil {
		return nil, err
	}

	c := &command{ended: make(chan syscall.WaitStatus, 1), signals: make(chan os.Signal, 1)}
	signal.Notify(c.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)

	c.process, err = os.StartProcess(path, args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return nil, err
	}

	go func() { c.ended <- reap(c.process.Pid) }()

	return c, nil
}

// reap waits for the end of a child. Until then it waits for all adopted processes, too. So none of them stays a zombie: tests wait until a
// process is gone.
func reap(child int) (status syscall.WaitStatus) {
	for {
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if pid == child || err != nil && !errors.Is(err, syscall.EINTR) {
			return status
		}
	}
}

// standStillAtTimes lets the command run and stand still by turns. It returns how the command has ended, and how often it stood still.
func (c *command) standStillAtTimes(run, stop time.Duration) (status syscall.WaitStatus, times int) {
	for {
		if status, ended := c.wait(rand.N(2 * run)); ended { //nolint:gosec // a moment is no secret
			return status, times
		}

		stopped := stopDescendants(os.Getpid())
		times++
		status, ended := c.wait(stop)

		resume(stopped)

		if ended {
			return status, times
		}
	}
}

// wait waits for a time, for the end of the command or for a signal, which it passes on.
func (c *command) wait(d time.Duration) (status syscall.WaitStatus, ended bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case status = <-c.ended:
		return status, true
	case s := <-c.signals:
		_ = c.process.Signal(s) // fails if the command has ended
	case <-timer.C:
	}

	return status, false
}

// exitCode returns the exit code of a shell for a command.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}

	return status.ExitStatus()
}

// Package child runs an example program again as a child process. The first line of the child's standard input is its configuration. The
// child prints its address on its standard output. A second line tells it to stop. The child also ends when its input does, so it never
// outlives its parent.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// StopTime is how long a child may take to stop: 2 minutes.
const StopTime = 2 * time.Minute

// Process is a child process.
type Process struct {
	Name string
	// Addr is the child's address.
	Addr string

	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	ended  chan struct{}
	// doomed reports that the child is expected to end.
	doomed atomic.Bool
}

// Launch starts this program with a command and a configuration, which is sent as JSON. It returns when the child listens. The child is
// killed when ctx ends. If the child ends unexpectedly, Launch calls fail.
func Launch(
	ctx context.Context, name, command string, config any, stderr io.Writer, fail context.CancelCauseFunc,
) (*Process, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}

	p := &Process{Name: name, cmd: exec.CommandContext(ctx, binary, command), ended: make(chan struct{})} //nolint:gosec // itself
	p.cmd.Stderr = stderr
	endWithParent(p.cmd)

	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}

	said, stdout, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}

	p.cmd.Stdout = stdout
	p.stdout = bufio.NewReader(said)

	err = p.start(said, fail)
	_ = stdout.Close() // the child has its own copy

	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}

	if p.Addr, err = p.instruct(config); err != nil {
		p.Kill()

		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}

	return p, nil
}

// instruct sends the configuration, and returns the address of the child.
func (p *Process) instruct(config any) (string, error) {
	if err := json.NewEncoder(p.stdin).Encode(config); err != nil {
		return "", fmt.Errorf("sending the configuration: %w", err)
	}

	line, err := p.Line()
	if err != nil {
		return "", fmt.Errorf("waiting for it to listen: %w", err)
	}

	return line, nil
}

// Line returns the next line of the child's output. It is not safe for concurrent use.
func (p *Process) Line() (string, error) {
	line, err := p.stdout.ReadString('\n')

	return strings.TrimSpace(line), err
}

// start starts the process and watches it.
func (p *Process) start(said io.Closer, fail context.CancelCauseFunc) error {
	started := make(chan error)

	go func() {
		// For the kernel, the parent is this thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		defer said.Close() //nolint:errcheck // it was only read

		err := p.cmd.Start()
		started <- err

		if err != nil {
			return
		}

		if err := p.cmd.Wait(); !p.doomed.Load() {
			fail(fmt.Errorf("%s has ended by itself: %w", p.Name, err))
		}
	}()

	return <-started
}

// Kill kills the process, and waits for its end. It uses SIGKILL where available.
func (p *Process) Kill() {
	p.doomed.Store(true)
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.ended
}

// Stop tells the process to stop, and waits for its end.
func (p *Process) Stop(ctx context.Context) error {
	p.doomed.Store(true)

	// A write error means that it has ended.
	_, _ = io.WriteString(p.stdin, "stop\n")

	timer := time.NewTimer(StopTime)
	defer timer.Stop()

	select {
	case <-p.ended:
	case <-ctx.Done():
		p.Kill()

		return context.Cause(ctx)
	case <-timer.C:
		p.Kill()
	}

	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s failed: %v", p.Name, p.cmd.ProcessState)
	}

	return nil
}

// Obey is for the child. It reads the configuration, and returns a context that ends when the parent stops the child. Call the cancel
// function at the end. If the input ends, Obey exits the process.
func Obey(ctx context.Context, config any) (context.Context, context.CancelFunc, error) {
	input := bufio.NewReader(os.Stdin)

	line, err := input.ReadBytes('\n')
	if err != nil {
		return nil, nil, fmt.Errorf("reading the configuration: %w (only the demo starts this command)", err)
	}

	if err := json.Unmarshal(line, config); err != nil {
		return nil, nil, fmt.Errorf("reading the configuration: %w", err)
	}

	// Ctrl-C is for the parent only.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))

	go func() {
		if _, err := input.ReadString('\n'); err == nil {
			stop()
		}

		_, _ = io.Copy(io.Discard, input)

		os.Exit(1) // the parent has gone
	}()

	return ctx, stop, nil
}

// Announce is for the child. It listens on a free port and prints the address.
func Announce(stdout io.Writer) (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}

	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return nil, fmt.Errorf("printing the address: %w", err)
	}

	return listener, nil
}

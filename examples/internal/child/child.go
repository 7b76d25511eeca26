// Package child starts a program of the examples again as a process that ends with it, whatever ends it: a child is told what to do in
// the first line of its standard input, says on its standard output where it listens, and comes to its end with a second line.
// When the input ends, so does the child.
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

// StopTime is how long a child has to come to its end.
const StopTime = 30 * time.Second

// Process is a child as its parent sees it.
type Process struct {
	Name string
	// Addr is where it listens.
	Addr string

	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	ended  chan struct{}
	// doomed means that it is supposed to end.
	doomed atomic.Bool
}

// Launch starts this program with a command, and returns when it listens. The child is told the configuration, which becomes JSON.
// It is killed when ctx ends. Should it end by itself, fail is told.
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
	_ = stdout.Close() // the child has its own

	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}

	if p.Addr, err = p.instruct(config); err != nil {
		p.Kill()

		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}

	return p, nil
}

// instruct tells the process what to do, and returns where it says that it listens.
func (p *Process) instruct(config any) (string, error) {
	if err := json.NewEncoder(p.stdin).Encode(config); err != nil {
		return "", fmt.Errorf("telling it what to do: %w", err)
	}

	line, err := p.Line()
	if err != nil {
		return "", fmt.Errorf("waiting for it to listen: %w", err)
	}

	return line, nil
}

// Line waits for the next line that the process says. It is not safe for concurrent use.
func (p *Process) Line() (string, error) {
	line, err := p.stdout.ReadString('\n')

	return strings.TrimSpace(line), err
}

// start starts the process and watches it.
func (p *Process) start(said io.Closer, fail context.CancelCauseFunc) error {
	started := make(chan error)

	go func() {
		// The parent that the kernel looks at is this thread.
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

// Kill ends the process at once, with SIGKILL where there is one, and returns when it has ended.
func (p *Process) Kill() {
	p.doomed.Store(true)
	_ = p.cmd.Process.Kill() // an error says that it has ended already
	<-p.ended
}

// Stop lets the process come to its end.
func (p *Process) Stop(ctx context.Context) error {
	p.doomed.Store(true)

	// Should it not take it, it has ended.
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
		return fmt.Errorf("%s did not end well: %v", p.Name, p.cmd.ProcessState)
	}

	return nil
}

// Obey is called by the child: it reads what to do into config, and returns a context that ends when the child is asked to stop. The
// context has to be cancelled in the end. Where the input ends, so does the process.
func Obey(ctx context.Context, config any) (context.Context, context.CancelFunc, error) {
	input := bufio.NewReader(os.Stdin)

	line, err := input.ReadBytes('\n')
	if err != nil {
		return nil, nil, fmt.Errorf("reading what to do: %w (the demo starts this command, nobody else)", err)
	}

	if err := json.Unmarshal(line, config); err != nil {
		return nil, nil, fmt.Errorf("reading what to do: %w", err)
	}

	// Ctrl-C is for the parent.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))

	go func() {
		if _, err := input.ReadString('\n'); err == nil {
			stop()
		}

		_, _ = io.Copy(io.Discard, input)

		os.Exit(1) // whatever it is doing, nobody is there for it any more
	}()

	return ctx, stop, nil
}

// Announce is called by the child: it listens, and says where.
func Announce(stdout io.Writer) (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}

	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return nil, fmt.Errorf("saying where it listens: %w", err)
	}

	return listener, nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// process is a child of the demo. It ends when the demo ends, however the demo ends.
type process struct {
	name  string
	addr  string // where it listens
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  *os.File // its standard output, and the reader of it
	lines *bufio.Reader
	ended chan struct{}
	// doomed means that the demo ends the process.
	doomed atomic.Bool
}

// launch starts a child and returns when it listens. The child is killed when ctx ends. If it ends by itself, fail is called.
func launch(
	ctx context.Context, name string, config *childConfig, stderr io.Writer, fail context.CancelCauseFunc,
) (*process, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}

	p := &process{name: name, cmd: exec.CommandContext(ctx, binary, childName), ended: make(chan struct{})} //nolint:gosec // itself
	p.cmd.Stderr = stderr
	endWithParent(p.cmd)

	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}

	said, stdout, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}

	p.cmd.Stdout, p.said, p.lines = stdout, said, bufio.NewReader(said)

	err = p.start(fail)
	_ = stdout.Close() // the child has its own

	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}

	p.addr, err = p.instruct(config)
	if err != nil {
		p.kill()

		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}

	return p, nil
}

// instruct sends the process its configuration, and returns the address on which it listens.
func (p *process) instruct(config *childConfig) (string, error) {
	if err := json.NewEncoder(p.stdin).Encode(config); err != nil {
		return "", fmt.Errorf("sending the configuration: %w", err)
	}

	line, err := p.lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("waiting for it to listen: %w", err)
	}

	return strings.TrimSpace(line), nil
}

// hold makes the process keep a payment uncommitted, and returns when it does. It returns an error if ctx ends before.
func (p *process) hold(ctx context.Context) error {
	_, err := p.ask(ctx, askHold)

	return err
}

// ask sends a request to the process, and returns the answer. It returns an error if ctx ends before.
func (p *process) ask(ctx context.Context, order string) (string, error) {
	if _, err := io.WriteString(p.stdin, order+"\n"); err != nil {
		return "", fmt.Errorf("asking %s for %q: %w", p.name, order, err)
	}

	stop := context.AfterFunc(ctx, func() { _ = p.said.SetReadDeadline(time.Unix(1, 0)) }) // the past
	defer stop()

	line, err := p.lines.ReadString('\n')
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}

	if err != nil {
		return "", fmt.Errorf("waiting for the answer of %s to %q: %w", p.name, order, err)
	}

	return strings.TrimSpace(line), nil
}

// because adds the cause of the end of ctx to an error, such as a process that has ended by itself. The errors of calls lack the cause.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}

	return err
}

// start starts the process and watches it.
func (p *process) start(fail context.CancelCauseFunc) error {
	started := make(chan error)

	go func() {
		// For the kernel, the parent is this thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		defer p.said.Close() //nolint:errcheck // it was only read

		err := p.cmd.Start()
		started <- err

		if err != nil {
			return
		}

		if err := p.cmd.Wait(); !p.doomed.Load() {
			fail(fmt.Errorf("%s has ended by itself: %w", p.name, err))
		}
	}()

	return <-started
}

// kill ends the process at once, and returns when it has ended.
func (p *process) kill() {
	p.doomed.Store(true)
	_ = p.cmd.Process.Kill() // an error means that it has ended already
	<-p.ended
}

// stop makes the process end in order.
func (p *process) stop(ctx context.Context) error {
	p.doomed.Store(true)

	// An error means that the process has ended.
	_, _ = io.WriteString(p.stdin, askStop+"\n")

	timer := time.NewTimer(stopTime)
	defer timer.Stop()

	select {
	case <-p.ended:
	case <-ctx.Done():
		p.kill()

		return context.Cause(ctx)
	case <-timer.C:
		p.kill()
	}

	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s failed: %v", p.name, p.cmd.ProcessState)
	}

	return nil
}

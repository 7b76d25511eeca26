package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// process is a process of the demo.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string // its output; closed when the process has ended
}

// start starts this program as a process with a task.
func start(ctx context.Context, command string, t *task) (*process, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}

	p := &process{cmd: exec.CommandContext(ctx, binary, command), lines: make(chan string, 1)} //nolint:gosec // itself
	p.cmd.Env = append(os.Environ(), partVariable+"=1")
	p.cmd.Stderr = os.Stderr

	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}

	p.stdin = stdin

	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}

	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", command, err)
	}

	go func() {
		defer close(p.lines)

		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()

	if err := json.NewEncoder(stdin).Encode(t); err != nil {
		p.kill()

		return nil, fmt.Errorf("starting %s: %w", command, err)
	}

	return p, nil
}

// partVariable is set in the processes of the demo. A test binary checks it.
const partVariable = "ONLYONCE_EXAMPLE_PART"

// kill kills the process, and waits for its end. It uses SIGKILL where available.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()

	for range p.lines { // until it has ended
	}

	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}

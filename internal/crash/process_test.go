//go:build unix

package crash

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is a server.
type process struct {
	name, addr  string
	cmd         *exec.Cmd
	stderr      bytes.Buffer // complete when the process has ended
	ended       chan struct{}
	endExpected atomic.Bool // the test has killed it, or expects it to kill itself
}

// start runs a server and returns when it listens.
func (w *world) start(t *testing.T, config serverConfig) *process {
	t.Helper()

	p, err := w.launch(context.WithoutCancel(t.Context()), config)
	if err != nil {
		t.Fatal(err)
	}

	return p
}

// launch is start for other goroutines than the test's.
func (w *world) launch(ctx context.Context, config serverConfig) (*process, error) {
	config.World = w.listener.Addr().String()
	config.Redis = cmp.Or(config.Redis, w.kept.redis)

	encoded, err := config.encode()
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}

	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the test binary: %w", err)
	}

	p := &process{name: config.Name, cmd: exec.CommandContext(ctx, binary), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), serverEnv+"="+encoded)
	p.cmd.Stderr = &p.stderr

	// If the test process dies without cleanup, a server ends at the end of its standard input. A stopped server does
	// not read it, but the kernel hangs up on a stopped process group without a parent outside.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	if _, err := p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}

	ready := w.park(config.Name, atReady, "")

	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting server %s: %w", config.Name, err)
	}

	go func() {
		defer close(p.ended)

		_ = p.cmd.Wait() // ProcessState has the result
	}()

	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()

	v, err := ready.await(p.ended)
	if err != nil {
		return nil, err
	}

	ready.release()

	p.addr = string(v.Body)

	return p, nil
}

// signal sends a signal to a process that has not ended.
func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()

	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("sending %v to server %s: %v", sig, p.name, err)
	}
}

// kill ends the process at once and returns when it has.
func (p *process) kill() {
	p.endExpected.Store(true)
	_ = p.cmd.Process.Kill() // an error means that it has ended already
	<-p.ended
}

// waitEnd returns when the process has ended by itself.
func (p *process) waitEnd(t *testing.T) {
	t.Helper()

	timer := time.NewTimer(patience)
	defer timer.Stop()

	select {
	case <-p.ended:
	case <-timer.C:
		t.Fatalf("server %s does not end", p.name)
	}
}

// waitKilled returns when the process has killed itself with SIGKILL.
func (p *process) waitKilled(t *testing.T) {
	t.Helper()
	p.endExpected.Store(true)
	p.waitEnd(t)

	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("server %s ended otherwise than by SIGKILL: %v", p.name, p.cmd.ProcessState)
	}
}

// waitExit returns when the process has shut down, which must have gone well.
func (p *process) waitExit(t *testing.T) {
	t.Helper()
	p.endExpected.Store(true)
	p.waitEnd(t)

	if !p.cmd.ProcessState.Success() {
		t.Errorf("server %s shut down with %v: %s", p.name, p.cmd.ProcessState, p.stderr.String())
	}
}

// endAll ends all processes. It reports those that ended unexpectedly, panicked or had a data race.
func (w *world) endAll(t *testing.T) {
	t.Helper()

	w.mu.Lock()
	defer w.mu.Unlock()

	for _, p := range w.processes {
		select {
		case <-p.ended:
			if !p.endExpected.Load() {
				t.Errorf("server %s ended by itself: %v", p.name, p.cmd.ProcessState)
			}
		default:
			p.kill()
		}

		if said := p.stderr.String(); strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic:") {
			t.Errorf("server %s says: %s", p.name, said)
		} else if said != "" {
			t.Logf("server %s says: %s", p.name, said)
		}
	}
}

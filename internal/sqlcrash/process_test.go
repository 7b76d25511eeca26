//go:build unix

package sqlcrash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onlyonce-go/onlyonce/internal/servertest"

	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// process is a server.
type process struct {
	client

	world       *world
	addr        string
	cmd         *exec.Cmd
	child       *servertest.Child
	stdin       io.WriteCloser
	stderr      bytes.Buffer // complete when the process has ended
	endExpected atomic.Bool  // the test has ended it, or expects it to end

	ready, parked, stopping chan string
	reading                 sync.WaitGroup
}

// start runs a server and returns when it listens.
func (w *world) start(t *testing.T, config serverConfig) *process {
	t.Helper()

	p, err := w.launch(config)
	if err != nil {
		t.Fatal(err)
	}

	return p
}

// launch is start for other goroutines than the test's.
func (w *world) launch(config serverConfig) (*process, error) {
	config.Driver, config.Dialect = w.driver, w.kind.dialect

	// The first, and every other one after it: both kinds share the records.
	w.mu.Lock()
	config.Pipelined = config.Dialect == sqlstore.PostgreSQL && w.launched%2 == 0
	w.launched++
	w.mu.Unlock()

	if config.DSN == "" {
		config.DSN = w.dsn
	}

	config.HandlerDSN = config.DSN
	if config.Outside {
		config.HandlerDSN = w.outside
	}

	encoded, err := json.Marshal(config) //nolint:musttag // both sides are this program
	if err != nil {
		return nil, err
	}

	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}

	p := &process{
		world: w, cmd: exec.Command(binary),
		ready: make(chan string, 1), parked: make(chan string, 1), stopping: make(chan string, 1),
	}
	p.cmd.Env = append(os.Environ(), serverEnv+"="+string(encoded))
	p.cmd.Stderr = &p.stderr

	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}

	said, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}

	p.cmd.Stdout = stdout
	p.endExpected.Store(config.DieAt > 0)

	p.child, err = servertest.Start(p.cmd)
	_ = stdout.Close() // the child has its own

	if err != nil {
		_ = said.Close()

		return nil, err
	}

	p.reading.Go(func() { p.read(said) })

	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()

	select {
	case p.addr = <-p.ready:
		p.conn, err = grpc.NewClient("passthrough:///"+p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))

		return p, err
	case <-p.child.Ended():
		return nil, fmt.Errorf("starting a server: %w: %s", errEnded, p.stderr.String())
	}
}

// read collects the output of the process until its end.
func (p *process) read(said io.ReadCloser) {
	defer said.Close()

	for lines := bufio.NewScanner(said); lines.Scan(); {
		what, more, _ := strings.Cut(lines.Text(), " ")

		switch what {
		case "ready":
			p.ready <- more
		case "parked":
			p.parked <- more
		case "stopping":
			p.stopping <- more
		default:
			p.world.mu.Lock()
			p.world.visits = append(p.world.visits, visit{point(what), more})
			p.world.mu.Unlock()
		}
	}
}

// resume lets a parked process go on.
func (p *process) resume(t *testing.T) {
	t.Helper()

	if _, err := io.WriteString(p.stdin, "go on\n"); err != nil {
		t.Fatal(err)
	}
}

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()

	if err := p.child.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// kill kills the process. It returns when the process has ended and all its reports are processed.
func (p *process) kill() {
	p.endExpected.Store(true)
	p.child.Kill()
	p.reading.Wait()
}

// end ends the process if it runs. It returns an error if the process ended unexpectedly, panicked or had a data race.
func (p *process) end() error {
	ended := p.child.IsEnded()

	p.child.Kill()
	p.reading.Wait()

	if p.conn != nil {
		_ = p.conn.Close() // no more calls are made
	}

	said := p.stderr.String()

	switch {
	case ended && !p.endExpected.Load():
		return fmt.Errorf("a server: %w: %v: %s", errEnded, p.cmd.ProcessState, said)
	case strings.Contains(said, "DATA RACE"), strings.Contains(said, "panic:"):
		return fmt.Errorf("a server says: %s", said)
	default:
		return nil
	}
}

// waitExit returns when the process has shut down, which must have gone well.
func (p *process) waitExit(t *testing.T) {
	t.Helper()
	p.endExpected.Store(true)
	happens(t, "a server ends", p.child.Ended())

	if !p.cmd.ProcessState.Success() {
		t.Errorf("a server shut down with %v: %s", p.cmd.ProcessState, p.stderr.String())
	}
}

// parkAt makes a call, and returns when its server is parked. On a busy machine, the answer to a claim may come too late. Then nothing has
// run, and parkAt makes the call again, as callers do.
func (p *process) parkAt(t *testing.T, m method, key string) (caller <-chan answer) {
	t.Helper()

	ctx := context.WithoutCancel(t.Context())
	timer := time.NewTimer(2 * patience)

	defer timer.Stop()

	for {
		caller = p.begin(ctx, m, key)

		select {
		case <-p.parked:
			return caller
		case got := <-caller:
			if !got.cameTooLate() {
				t.Fatalf("the server was not parked, and answered with %q and %v", got.status(), got.err)
			}
		case <-timer.C:
			t.Fatal("the server is not parked")
		}
	}
}

// killAt makes a call with theKey, and kills its server when it is parked.
func (p *process) killAt(t *testing.T, m method) {
	t.Helper()

	got := p.parkAt(t, m, theKey)
	p.kill()
	happens(t, "the caller is told", got).mustBreak(t)
}

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
	"os/signal"
	"runtime"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// serverProcess is this program once more, with gRPC servers in it, so that what they use of the CPUs can be told from
// what their clients use. It ends with its standard input, and so with this process, however that ends.
type serverProcess struct {
	cmd     *exec.Cmd
	input   io.WriteCloser
	answers *json.Decoder
	addrs   map[string]string // of the servers, by the names of their protections
}

// usage is what a server process has done so far.
type usage struct {
	CPU  time.Duration `json:"cpu"`
	Runs int64         `json:"runs"` // of handlers
}

// What the other process finds in its environment.
const (
	serveVariable   = "ONLYONCE_BENCH_SERVE"   // the address of Redis
	profileVariable = "ONLYONCE_BENCH_PROFILE" // where the CPU profile is written, if it is
)

// startServers starts a process with a server for each protection.
func startServers(ctx context.Context, redisAddr, profile string) (*serverProcess, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}

	p := &serverProcess{cmd: exec.CommandContext(context.WithoutCancel(ctx), program)} //nolint:gosec // this program
	p.cmd.Env = append(os.Environ(), serveVariable+"="+redisAddr, profileVariable+"="+profile)
	p.cmd.Stderr = os.Stderr

	p.input, err = p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}

	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}

	if err := p.cmd.Start(); err != nil {
		return nil, err
	}

	p.answers = json.NewDecoder(output)
	if err := p.answers.Decode(&p.addrs); err != nil {
		return nil, errors.Join(fmt.Errorf("the server process: %w", err), p.stop())
	}

	return p, nil
}

// usage asks the process what it has done, all that its collector has to do for it included.
func (p *serverProcess) usage() (u usage, err error) {
	if _, err = fmt.Fprintln(p.input); err == nil {
		err = p.answers.Decode(&u)
	}

	if err != nil {
		return u, fmt.Errorf("the server process: %w", err)
	}

	return u, nil
}

func (p *serverProcess) stop() error {
	return errors.Join(p.input.Close(), p.cmd.Wait())
}

// serveInstead reports whether this is such a process, in which case it has been one, and ends now with that error.
func serveInstead() (bool, error) {
	redisAddr, ok := os.LookupEnv(serveVariable)
	if !ok {
		return false, nil
	}

	signal.Ignore(os.Interrupt) // which a terminal sends to all; the other process decides

	stop, err := startCPUProfile(os.Getenv(profileVariable))
	if err != nil {
		return true, err
	}

	return true, errors.Join(serve(context.Background(), redisAddr, os.Stdin, os.Stdout), stop())
}

// serve tells the addresses of its servers, and then its usage for every line of input.
func serve(ctx context.Context, redisAddr string, in io.Reader, out io.Writer) error {
	var runs atomic.Int64

	svc := &service{fail: func() error {
		runs.Add(1)

		return nil
	}}

	all, closeAll, err := protections(redisAddr) //nolint:contextcheck // to open a store takes none
	defer closeAll()

	if err != nil {
		return err
	}

	var servers []*loopback

	defer func() {
		for _, server := range servers {
			server.stop()
		}
	}()

	addrs := make(map[string]string)

	for name, protect := range all {
		server, err := listen(ctx, svc, grpc.ChainUnaryInterceptor(protect))
		if err != nil {
			return err
		}

		servers = append(servers, server)
		addrs[name] = server.addr
	}

	answers := json.NewEncoder(out)
	if err := answers.Encode(addrs); err != nil {
		return err
	}

	requests := bufio.NewScanner(in)
	for requests.Scan() {
		runtime.GC()

		cpu, err := cpuTime()
		if err != nil {
			return err
		}

		if err := answers.Encode(usage{CPU: cpu, Runs: runs.Load()}); err != nil {
			return err
		}
	}

	return requests.Err()
}

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

// serverProcess is a child process of this program with one gRPC server. So the CPU time of the server is separate from
// that of its clients. The process ends with its standard input, and so with this process. The server may also be in this
// process.
type serverProcess struct {
	wait    func() error // until it has ended
	input   io.WriteCloser
	answers *json.Decoder
	addr    string // of the server
}

// usage is the usage of a server process so far.
type usage struct {
	CPU  time.Duration `json:"cpu"`
	Runs int64         `json:"runs"` // of handlers
	Live uint64        `json:"live"` // bytes of the heap now, ballast included
}

// Environment variables of the child process.
const (
	serveVariable   = "ONLYONCE_BENCH_SERVE"   // the name of the protection
	redisVariable   = "ONLYONCE_BENCH_REDIS"   // the address of Redis, if the records are there
	profileVariable = "ONLYONCE_BENCH_PROFILE" // where the CPU profile is written, if it is
)

// keepPages lets a process that waits for its next round keep the pages of its heap: to get them again would cost up to 20 µs a call.
const keepPages = "GODEBUG=madvdontneed=0"

// Commands to the child process, one line each.
const (
	askUsage = "usage"
	askReady = "ready" // the usage before something that is measured
	askFresh = "fresh" // without the records so far
)

// startServer starts a process with a server.
func startServer(ctx context.Context, protection, redisAddr, profile string) (*serverProcess, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}

	cmd := exec.CommandContext(context.WithoutCancel(ctx), program) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), serveVariable+"="+protection, redisVariable+"="+redisAddr, profileVariable+"="+profile, keepPages)
	cmd.Stderr = os.Stderr

	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}

	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}

	if err := cmd.Start(); err != nil {
		return nil, err
	}

	return meet(protection, input, output, cmd.Wait)
}

// startHere starts a server in this process. Its usage is that of this process.
func startHere(ctx context.Context, protection, redisAddr string) (*serverProcess, error) {
	questions, input := io.Pipe()
	output, answers := io.Pipe()
	ended := make(chan error, 1)

	go func() {
		err := serve(ctx, protection, redisAddr, questions, answers)
		_ = answers.CloseWithError(err) // ends the wait for an answer; it never fails
		ended <- err
	}()

	return meet(protection, input, output, func() error { return <-ended })
}

// meet waits until a server has sent its address.
func meet(protection string, input io.WriteCloser, output io.Reader, wait func() error) (*serverProcess, error) {
	p := &serverProcess{wait: wait, input: input, answers: json.NewDecoder(output)}
	if err := p.answers.Decode(&p.addr); err != nil {
		return nil, errors.Join(fmt.Errorf("the server of %s: %w", protection, err), p.stop())
	}

	return p, nil
}

// usage returns the usage of the process so far. It includes the pending work of the collector.
func (p *serverProcess) usage() (usage, error) { return p.ask(askUsage) }

// ready prepares the process for a round, and returns its usage.
func (p *serverProcess) ready() (usage, error) { return p.ask(askReady) }

// forget makes the process drop the records that it keeps in memory.
func (p *serverProcess) forget() error {
	_, err := p.ask(askFresh)

	return err
}

func (p *serverProcess) ask(question string) (u usage, err error) {
	if _, err = fmt.Fprintln(p.input, question); err == nil {
		err = p.answers.Decode(&u)
	}

	if err != nil {
		return u, fmt.Errorf("the server process: %w", err)
	}

	return u, nil
}

func (p *serverProcess) stop() error {
	return errors.Join(p.input.Close(), p.wait())
}

// serveInstead runs the server if this is a child process, until its input ends. It reports whether it did, and returns the error of the
// server.
func serveInstead() (bool, error) {
	protection, ok := os.LookupEnv(serveVariable)
	if !ok {
		return false, nil
	}

	signal.Ignore(os.Interrupt) // a terminal sends it to all processes; the other process decides

	stop, err := startCPUProfile(os.Getenv(profileVariable))
	if err != nil {
		return true, err
	}

	ballast := newBallast()
	defer runtime.KeepAlive(ballast)

	return true, errors.Join(serve(context.Background(), protection, os.Getenv(redisVariable), os.Stdin, os.Stdout), stop())
}

// protectedService is a server whose protection can be replaced.
type protectedService struct {
	protection, redisAddr string

	intercept atomic.Pointer[grpc.UnaryServerInterceptor]
	end       func() error
}

// open makes a new protection.
func (s *protectedService) open() error {
	intercept, end, err := openProtection(s.protection, s.redisAddr)
	if err != nil {
		return err
	}

	s.intercept.Store(&intercept)
	s.end = end

	return nil
}

func (s *protectedService) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return (*s.intercept.Load())(ctx, req, info, handler)
}

// serve writes the address of its server, and then its usage for every line of input.
func serve(ctx context.Context, protection, redisAddr string, in io.Reader, out io.Writer) (err error) {
	var runs atomic.Int64

	count := func() error {
		runs.Add(1)

		return nil
	}

	s := &protectedService{protection: protection, redisAddr: redisAddr}
	if err := s.open(); err != nil { //nolint:contextcheck // opening a store takes no context
		return err
	}

	defer func() { err = errors.Join(err, s.end()) }()

	server, err := listen(ctx, &service{fail: count}, grpc.ChainUnaryInterceptor(s.unary))
	if err != nil {
		return err
	}
	defer server.stop()

	answers := json.NewEncoder(out)
	if err := answers.Encode(server.addr); err != nil {
		return err
	}

	requests := bufio.NewScanner(in)
	for requests.Scan() {
		if requests.Text() == askFresh {
			if err := errors.Join(s.end(), s.open()); err != nil { //nolint:contextcheck // opening a store takes no context
				return err
			}
		}

		live := heap()

		if requests.Text() == askReady {
			readyHeap()
		}

		cpu, err := cpuTime()
		if err != nil {
			return err
		}

		if err := answers.Encode(usage{CPU: cpu, Runs: runs.Load(), Live: live}); err != nil {
			return err
		}
	}

	return requests.Err()
}

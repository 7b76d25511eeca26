package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is a redis-server process of our own, which keeps its data in memory only.
type redisServer struct {
	addr   string
	client *redis.Client // not for measured calls
	cmd    *exec.Cmd
	dir    string
	ended  chan struct{}
}

// errNotReady reports that a redis-server did not start. Another port may help.
var errNotReady = errors.New("redis-server does not start")

// redisProgram is a server program, with its name in the tables.
type redisProgram struct {
	name string
	// find returns a function that makes the command with its arguments.
	find func() (command func(args ...string) *exec.Cmd, err error)
}

// installedRedis is the redis-server of this machine.
func installedRedis() redisProgram {
	return redisProgram{"Redis", func() (func(args ...string) *exec.Cmd, error) {
		path, err := exec.LookPath("redis-server")
		if err != nil {
			return nil, fmt.Errorf("the Redis tables need redis-server 7.0 or newer, install it (Debian: apt-get install redis-server), "+
				"or choose other tables with -run: %w", err)
		}

		return func(args ...string) *exec.Cmd { return exec.Command(path, args...) }, nil //nolint:noctx,gosec // stop kills it
	}}
}

// startRedis starts the redis-server of this machine.
func startRedis(ctx context.Context) (*redisServer, error) { return installedRedis().start(ctx) }

// start starts a server on a free port. Call stop to kill it.
func (p redisProgram) start(ctx context.Context) (*redisServer, error) {
	command, err := p.find()
	if err != nil {
		return nil, err
	}

	for range 5 {
		var s *redisServer

		s, err = runRedis(ctx, command)
		if !errors.Is(err, errNotReady) {
			return s, err
		}
	}

	return nil, err
}

func runRedis(ctx context.Context, command func(args ...string) *exec.Cmd) (*redisServer, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}

	dir, err := os.MkdirTemp("", "onlyonce-bench-")
	if err != nil {
		return nil, err
	}

	log := filepath.Join(dir, "log")
	s := &redisServer{addr: net.JoinHostPort("127.0.0.1", port), dir: dir, ended: make(chan struct{})}
	s.cmd = command(
		"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--logfile", log, "--save", "", "--appendonly", "no")

	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}

	go func() {
		defer close(s.ended)

		_ = s.cmd.Wait() // an error means that it was killed
	}()

	s.client = redis.NewClient(&redis.Options{Addr: s.addr, ContextTimeoutEnabled: true, MaxRetries: -1, ReadTimeout: time.Minute})

	if err := s.ready(ctx); err != nil {
		said, _ := os.ReadFile(log) //nolint:gosec // of our own making, and there may be none

		s.stop()

		return nil, fmt.Errorf("%w\n%s", err, said)
	}

	return s, nil
}

// freePort returns a port that is probably still free when it is used.
func freePort(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}

	_, port, err := net.SplitHostPort(listener.Addr().String())

	return port, errors.Join(err, listener.Close())
}

// ready waits until the server answers. It fails if another server has taken the port.
func (s *redisServer) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()

	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()

	for {
		info, err := s.info(ctx, "server")
		if err == nil {
			if info["process_id"] == strconv.Itoa(s.cmd.Process.Pid) {
				return nil
			}

			return fmt.Errorf("%w: another server has its port", errNotReady)
		}

		select {
		case <-ticker.C:
		case <-s.ended:
			return fmt.Errorf("%w: %w", errNotReady, err)
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", err)
		}
	}
}

// info returns a section of the server's INFO.
func (s *redisServer) info(ctx context.Context, section string) (map[string]string, error) {
	text, err := s.client.Info(ctx, section).Result()
	if err != nil {
		return nil, err
	}

	info := make(map[string]string)

	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			info[name] = value
		}
	}

	return info, nil
}

// number adds up numbers of a section.
func (s *redisServer) number(ctx context.Context, section string, names ...string) (sum float64, err error) {
	info, err := s.info(ctx, section)
	if err != nil {
		return 0, err
	}

	for _, name := range names {
		n, err := strconv.ParseFloat(info[name], 64)
		if err != nil {
			return 0, fmt.Errorf("%s of Redis: %w", name, err)
		}

		sum += n
	}

	return sum, nil
}

// cpu returns the CPU time of the server so far.
func (s *redisServer) cpu(ctx context.Context) (time.Duration, error) {
	seconds, err := s.number(ctx, "cpu", "used_cpu_user", "used_cpu_sys")

	return time.Duration(seconds * float64(time.Second)), err
}

// memory returns the memory of the server's data, in bytes.
func (s *redisServer) memory(ctx context.Context) (float64, error) {
	return s.number(ctx, "memory", "used_memory")
}

func (s *redisServer) stop() {
	_ = s.client.Close()
	_ = s.cmd.Process.Kill() // an error means that it has ended already
	<-s.ended
	_ = os.RemoveAll(s.dir)
}

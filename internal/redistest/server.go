//go:build unix

package redistest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/onlyonce-go/onlyonce/internal/servers"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Server is a Redis or Valkey process.
type Server struct {
	tb      testing.TB
	program servers.Program
	dir     string
	config  string // its file, if it has one
	args    []string
	host    string
	port    int
	client  *redis.Client

	// network and site are where the server runs, if it is not this machine.
	network *Network
	site    int

	mu     sync.Mutex
	child  *servertest.Child // nil before the first life
	lives  int
	paused bool
}

// Standalone starts a server that keeps its data in memory only. Arguments are added to the command line and override earlier ones:
// "--maxmemory", "5mb" or "--appendonly", "yes".
func Standalone(tb testing.TB, args ...string) *Server {
	tb.Helper()

	s := newServer(tb, args...)
	if err := s.boot(); err != nil {
		tb.Fatal(err)
	}

	return s
}

// newServer prepares a server, which is killed at the end of the test, should it have been started.
func newServer(tb testing.TB, args ...string) *Server {
	tb.Helper()

	s := &Server{tb: tb, program: Require(tb), dir: tb.TempDir(), host: "127.0.0.1"}
	// With a delay, the master would let a replica wait for others that may connect, too.
	s.args = append([]string{"--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"}, args...)

	tb.Cleanup(func() {
		s.Kill()

		if s.client != nil {
			s.client.Close()
		}
	})

	return s
}

// StandaloneAt is [Standalone] at a site of a network.
func StandaloneAt(network *Network, site int, args ...string) *Server {
	network.tb.Helper()

	s := newServer(network.tb, args...)
	s.settle(network, site)

	if err := s.boot(); err != nil {
		network.tb.Fatal(err)
	}

	return s
}

// settle lets a server run at a site of a network.
func (s *Server) settle(network *Network, site int) {
	s.network, s.site, s.host = network, site, network.Host(site)
	s.args = append(s.args, "--protected-mode", "no") // it would refuse this process
}

// Addr returns the address, which never changes.
func (s *Server) Addr() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

// URL returns the address as a URL for redis.ParseURL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Client returns a directly connected client. It is closed at the end of the test.
func (s *Server) Client() *redis.Client { return s.client }

// Kill kills the server with SIGKILL. It does nothing if the server has ended.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.child != nil {
		s.child.Kill()
	}

	s.paused = false
}

// Restart kills the server and starts it again with the same address, arguments and folder. The data is lost unless the arguments make it
// persistent.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Kill()

	// If another process has taken the port, it may release it.
	servertest.Wait(s.tb, "restarting "+s.Addr(), s.run)
}

// Pause stops the process with SIGSTOP. Connections stay open.
func (s *Server) Pause() {
	s.tb.Helper()
	s.signal(syscall.SIGSTOP, true)
}

// Resume continues a paused process.
func (s *Server) Resume() {
	s.tb.Helper()
	s.signal(syscall.SIGCONT, false)
}

func (s *Server) signal(sig syscall.Signal, paused bool) {
	s.tb.Helper()

	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.child.Signal(sig); err != nil {
		s.tb.Fatalf("sending %v to %s: %v", sig, s.Addr(), err)
	}

	s.paused = paused
}

// isAlive reports whether the server runs and is not paused.
func (s *Server) isAlive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.child != nil && !s.child.IsEnded() && !s.paused
}

// boot starts the server on a free port.
func (s *Server) boot() error {
	for range servertest.PortAttempts {
		s.port = servertest.ProposePort()
		s.client = connect(s.Addr())

		err := s.run()
		if err == nil {
			return nil
		}

		s.client.Close()
		s.client = nil

		if !errors.Is(err, servertest.ErrPortTaken) {
			return err
		}
	}

	return fmt.Errorf("no free port for redis-server in %d attempts", servertest.PortAttempts)
}

// bootAll starts servers at the same time.
func bootAll(all []*Server) error {
	failed := make([]error, len(all))

	var booting sync.WaitGroup
	for i, s := range all {
		booting.Go(func() { failed[i] = s.boot() })
	}

	booting.Wait()

	return errors.Join(failed...)
}

// connect returns a client without retries or other commands of its own. It waits for a machine that stands still.
func connect(addr string) *redis.Client {
	const generous = servertest.Patience

	return redis.NewClient(&redis.Options{
		Addr:                     addr,
		ContextTimeoutEnabled:    true,
		DialerRetries:            1,
		DialTimeout:              generous,
		ReadTimeout:              generous,
		WriteTimeout:             generous,
		PoolTimeout:              generous,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// run starts the server on its port and returns when it answers.
func (s *Server) run() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.lives++

	path := filepath.Join(s.dir, fmt.Sprintf("life-%d.log", s.lives))

	log, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making a log: %w", err)
	}
	defer log.Close()

	args := []string{"--bind", s.host, "--port", strconv.Itoa(s.port), "--dir", s.dir}
	if s.config != "" {
		args = append([]string{s.config}, args...)
	}

	cmd := s.command(append(args, s.args...)...)
	cmd.Stdout, cmd.Stderr = log, log

	s.child, err = servertest.Start(cmd)
	if err != nil {
		return fmt.Errorf("starting redis-server: %w", err)
	}

	notReady := servertest.Poll(s.ready, s.child.Ended())
	if notReady == nil {
		return nil
	}

	s.child.Kill()

	said, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}

	if strings.Contains(string(said), "Address already in use") {
		return servertest.ErrPortTaken
	}

	return fmt.Errorf("redis-server does not start: %w\n%s", notReady, said)
}

func (s *Server) command(args ...string) *exec.Cmd {
	cmd := s.program.Command(args...)
	if s.network != nil {
		return s.network.command(s.site, cmd.Args...)
	}

	return cmd
}

// ready returns nil when the server answers.
func (s *Server) ready() error {
	// The client would log it.
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		return err
	}

	conn.Close()

	info, err := s.section("server")
	if err != nil {
		return err
	}

	// If the port is taken, another server may answer.
	if pid := strconv.Itoa(s.child.PID()); info["process_id"] != pid {
		return fmt.Errorf("process %s has the port, not process %s", info["process_id"], pid)
	}

	return s.do("ping") // an error while it reads its files
}

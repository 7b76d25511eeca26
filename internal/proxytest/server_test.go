//go:build unix

package proxytest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// server answers each line with "ok: " and the line, in two messages: the first one is "wait". It greets with "hello". It
// does not answer "quiet", and says "news" without being asked before it answers "subscribe".
type server struct {
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	lines []string
	conns []net.Conn
}

func startServer(t *testing.T) *server {
	t.Helper()

	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	s := &server{listener: listener}

	s.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()

			s.running.Go(func() { s.serve(conn) })
		}
	})

	t.Cleanup(func() {
		listener.Close()
		s.kill()
		s.running.Wait()
	})

	return s
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()

	fmt.Fprintln(conn, "hello")

	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()

		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()

		switch line {
		case "quiet":
		case "subscribe":
			fmt.Fprintf(conn, "news\nwait\nok: %s\n", line)
		default:
			fmt.Fprintf(conn, "wait\nok: %s\n", line)
		}
	}
}

// kill ends all connections.
func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, conn := range s.conns {
		conn.Close()
	}
}

// got returns what the server has read.
func (s *server) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.lines)
}

// gets waits until the server has read exactly this.
func (s *server) gets(t *testing.T, want ...string) {
	t.Helper()

	servertest.Wait(t, "the server reads", func() error {
		if got := s.got(); !slices.Equal(got, want) {
			return fmt.Errorf("%q, want %q", got, want)
		}

		return nil
	})
}

func (s *server) addr() string { return s.listener.Addr().String() }

// talk is the protocol of the server.
type talk struct{}

func newTalk(string) Dialogue[string] { return talk{} }

func (talk) Greeting() *Request[string] { return new(Request[string]) }

func (talk) Request(r *bufio.Reader) (*Request[string], error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}

	text := strings.TrimSuffix(line, "\n")

	switch text {
	case "nonsense":
		return nil, fmt.Errorf("%w: %s", ErrProtocol, text)
	case "ping":
		return &Request[string]{Raw: []byte(line)}, nil
	case "quiet":
		return &Request[string]{Raw: []byte(line), Commands: []string{text}, Counts: true, Silent: true}, nil
	}

	return &Request[string]{Raw: []byte(line), Commands: []string{text}, Counts: true}, nil
}

func (talk) Reply(r *bufio.Reader, _ *Request[string]) (Reply, error) {
	line, err := r.ReadString('\n')

	return Reply{Raw: []byte(line), Unasked: line == "news\n", Complete: line == "hello\n" || strings.HasPrefix(line, "ok")}, err
}

// client is a connection through a proxy.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// dial connects and reads the greeting.
func dial(t *testing.T, plan *Plan[string], s *server) *client {
	t.Helper()

	conn, err := plan.Dial(t.Context(), "tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	if err := conn.SetDeadline(time.Now().Add(servertest.Patience)); err != nil {
		t.Fatal(err)
	}

	c := &client{t, conn, bufio.NewReader(conn)}
	c.reads("hello")

	return c
}

// send sends lines in one go.
func (c *client) send(lines ...string) {
	c.t.Helper()

	if _, err := io.WriteString(c.conn, strings.Join(lines, "\n")+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// reads checks what the next lines are.
func (c *client) reads(lines ...string) {
	c.t.Helper()

	for _, want := range lines {
		if got, err := c.r.ReadString('\n'); got != want+"\n" {
			c.t.Fatalf("the client reads %q, %v; want %q", got, err, want)
		}
	}
}

// isCut checks that nothing more comes.
func (c *client) isCut() {
	c.t.Helper()

	if got := c.isCutSomeTime(); got != "" {
		c.t.Fatalf("the client reads %q; want the end", got)
	}
}

// isCutSomeTime checks that the connection ends. It returns what comes before that.
func (c *client) isCutSomeTime() string {
	c.t.Helper()

	got, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("the client reads %q, %v; want the end", got, err)
	}

	return string(got)
}

// setUp returns a plan in front of a server.
func setUp(t *testing.T) (*Plan[string], *server) {
	t.Helper()

	s := startServer(t)

	return NewPlan(t, newTalk), s
}

// is chooses a command.
func is(want string) func(string) bool { return func(got string) bool { return got == want } }

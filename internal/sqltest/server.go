//go:build unix

package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Server is one or several processes that serve databases. Its embedded Database is the one that it starts with.
type Server struct {
	*Database

	tb       testing.TB // whose server it is; nil if it is shared
	own      *sql.DB    // the server's own database, if it is shared; a new session costs more than most questions
	kind     kind
	dir      string
	args     []string
	unsynced bool
	port     int

	mu    sync.Mutex
	child *servertest.Child // nil before the first life
	lives int
}

// kind is an engine with a server.
type kind interface {
	engine
	lifecycle

	// main is the name of the database that a server starts with.
	main() string
	// connections are the arguments for a number of connections.
	connections(n int) []string
	// dialogue returns the protocol on a new connection.
	dialogue() dialogue
	// drop removes a database, even if it is in use.
	drop(ctx context.Context, db *sql.DB, name string) error
}

// lifecycle is how a server begins and ends.
type lifecycle interface {
	// install makes the files of a server.
	install(s *Server) error
	// command returns the command that runs a server.
	command(s *Server) (*exec.Cmd, error)
	// isOwn returns nil if the answering server is the running one.
	isOwn(ctx context.Context, s *Server, db *sql.DB) error
	// stop asks a server to end quickly, and removes its resources outside its folder.
	stop(s *Server)
}

// Option changes how a server runs.
type Option func(s *Server)

// WithoutSync lets a server commit without syncing to disk. Commits survive the end of the server, but not that of the
// machine. Use it for tests that measure time.
func WithoutSync() Option { return func(s *Server) { s.unsynced = true } }

// WithArgs adds to the command line, where the last one of a kind counts: "-c", "max_connections=20" for PostgreSQL,
// "--max-connections=20" for MariaDB.
func WithArgs(args ...string) Option { return func(s *Server) { s.args = append(s.args, args...) } }

// start starts a server for one test.
func start(tb testing.TB, k kind, options []Option) *Server {
	tb.Helper()

	s, err := boot(k, options)
	if err != nil {
		tb.Fatal(err)
	}

	s.tb = tb
	tb.Cleanup(func() {
		if err := s.end(); err != nil {
			tb.Error(err)
		}
	})

	return s
}

// boot starts a server on a free port.
func boot(k kind, options []Option) (*Server, error) {
	s := &Server{kind: k}
	for _, o := range options {
		o(s)
	}

	// A folder of a test belongs to its user, and all above it to root.
	dir, err := os.MkdirTemp("", "onlyonce-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}

	s.dir = dir

	err = k.install(s)
	if err == nil {
		err = s.bootAnywhere()
	}

	if err != nil {
		return nil, errors.Join(err, s.end())
	}

	return s, nil
}

func (s *Server) bootAnywhere() error {
	for range servertest.PortAttempts {
		s.port = servertest.ProposePort()
		s.Database = &Database{engine: s.kind, addr: servertest.Address(s.port), name: s.kind.main()}

		if err := s.run(); !errors.Is(err, servertest.ErrPortTaken) {
			return err
		}
	}

	return fmt.Errorf("no free port for a server in %d attempts", servertest.PortAttempts)
}

// end stops the server and removes its files.
func (s *Server) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	var err error

	if s.child != nil {
		_ = s.child.Resume() // an error means that it has ended
		s.kind.stop(s)
		err = s.child.KillTree()
	}

	return errors.Join(err, os.RemoveAll(s.dir))
}

// Kill ends the server and its children with SIGKILL. It does nothing if the server has ended.
func (s *Server) Kill() {
	s.tb.Helper()

	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.child.KillTree(); err != nil {
		s.tb.Fatalf("killing %s: %v", s.addr, err)
	}
}

// Restart kills the server and starts it again at the same address, with its data. It returns when the server answers.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Kill()

	// If another process has taken the port, it may release it.
	servertest.Wait(s.tb, "restarting "+s.addr, s.run)
}

// Pause stops the server with SIGSTOP, with all that it has started. Its connections stay open.
func (s *Server) Pause() {
	s.tb.Helper()

	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.child.Pause(); err != nil {
		s.tb.Fatalf("pausing %s: %v", s.addr, err)
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.tb.Helper()

	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.child.Resume(); err != nil {
		s.tb.Fatalf("resuming %s: %v", s.addr, err)
	}
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

	cmd, err := s.kind.command(s)
	if err != nil {
		return err
	}

	cmd.Stdout, cmd.Stderr = log, log

	s.child, err = servertest.Start(cmd)
	if err != nil {
		return fmt.Errorf("starting a server: %w", err)
	}

	notReady := servertest.Poll(s.ready, s.child.Ended())
	if notReady == nil {
		return nil
	}

	if err := s.child.KillTree(); err != nil {
		return err
	}

	said, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}

	if strings.Contains(string(said), "Address already in use") {
		return servertest.ErrPortTaken
	}

	return fmt.Errorf("%s does not start: %w\n%s", filepath.Base(cmd.Path), notReady, said)
}

// ready returns nil when the server answers.
func (s *Server) ready() error {
	return s.ask(func(ctx context.Context, db *sql.DB) error {
		// If the port is taken, another server may answer.
		return s.kind.isOwn(ctx, s, db)
	})
}

// ask opens the server's own database for a question that does not take long to answer.
func (s *Server) ask(question func(ctx context.Context, db *sql.DB) error) error {
	db := s.own
	if db == nil {
		opened, err := s.openOwn()
		if err != nil {
			return err
		}
		defer opened.Close()

		db = opened
	}

	ctx, cancel := context.WithTimeout(context.Background(), servertest.Patience)
	defer cancel()

	return question(ctx, db)
}

// openOwn opens the server's own database.
func (s *Server) openOwn() (*sql.DB, error) {
	return sql.Open(s.Driver(), s.engine.dsn(s.addr, s.name, ""))
}

// Fresh returns an empty database, which ends with the test.
func (s *Server) Fresh(tb testing.TB) *Database {
	tb.Helper()

	name := fmt.Sprintf("test_%016x", rand.Uint64()) // the server may be shared with other processes

	err := s.ask(func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "CREATE DATABASE "+name)

		return err
	})
	if err != nil {
		tb.Fatalf("making a database: %v", err)
	}

	if s.tb == nil { // others go on with the server
		tb.Cleanup(func() {
			err := s.ask(func(ctx context.Context, db *sql.DB) error { return s.kind.drop(ctx, db, name) })
			if err != nil {
				tb.Errorf("removing a database: %v", err)
			}
		})
	}

	return &Database{engine: s.engine, addr: s.addr, name: name}
}

// runAs lets root run a program as somebody else.
func runAs(cmd *exec.Cmd, uid, gid int) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
	}
}

// output runs a program to its end. Its error contains the output.
func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, out)
	}

	return nil
}

// within returns when a process has ended, or later than it should.
func within(d time.Duration, c *servertest.Child) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-c.Ended():
	case <-timer.C:
	}
}

//go:build unix

package sqltest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// Tests is what [testing.M] is.
type Tests interface{ Run() int }

// Shared returns tests that end the servers which they have shared.
func Shared(m Tests) Tests {
	sharing.Store(true)

	return sharers{m}
}

// PostgresDatabase returns an empty database of a PostgreSQL server that the tests of this process share. Their TestMain
// goes through [Shared].
func PostgresDatabase(tb testing.TB) *Database {
	tb.Helper()

	return sharedPostgres.fresh(tb)
}

// MariaDBDatabase returns an empty database of a MariaDB server that the tests of this process share. Their TestMain goes
// through [Shared].
func MariaDBDatabase(tb testing.TB) *Database {
	tb.Helper()

	return sharedMariaDB.fresh(tb)
}

// The servers are shared by all tests of a process.
var (
	sharing        atomic.Bool
	sharedPostgres = shared{kind: postgres{}}
	sharedMariaDB  = shared{kind: mariadb{}}
)

// shared is a server that starts when it is needed. Nobody can kill it, so that it need not sync.
type shared struct {
	kind kind

	mu     sync.Mutex
	server *Server
	failed error
}

func (s *shared) fresh(tb testing.TB) *Database {
	tb.Helper()

	if !sharing.Load() {
		tb.Fatal("TestMain has to run sqltest.Shared(m), so that somebody ends the server")
	}

	server, err := s.get()
	if err != nil {
		tb.Fatal(err)
	}

	return server.Fresh(tb)
}

func (s *shared) get() (*Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.server == nil && s.failed == nil {
		s.server, s.failed = boot(s.kind, []Option{WithoutSync()})
	}

	return s.server, s.failed
}

func (s *shared) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.server == nil {
		return nil
	}

	server := s.server
	s.server = nil

	return server.end()
}

type sharers struct{ tests Tests }

func (x sharers) Run() int {
	code := x.tests.Run()

	if err := errors.Join(sharedPostgres.end(), sharedMariaDB.end()); err != nil {
		fmt.Fprintln(os.Stderr, "ending the servers:", err)

		return max(code, 1)
	}

	return code
}

//go:build unix

package sqltest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

// Tests is implemented by [testing.M].
type Tests interface{ Run() int }

// Shared returns tests that end the servers that were started for them to share.
func Shared(m Tests) Tests {
	sharing.Store(true)

	return sharers{m}
}

// PostgresDatabase returns an empty database of a shared PostgreSQL server: the server that the environment names (see
// [Serve]), or one of this process. The package's TestMain must use [Shared].
func PostgresDatabase(tb testing.TB) *Database {
	tb.Helper()

	return sharedPostgres.fresh(tb)
}

// MariaDBDatabase returns an empty database of a shared MariaDB server: the server that the environment names (see
// [Serve]), or one of this process. The package's TestMain must use [Shared].
func MariaDBDatabase(tb testing.TB) *Database {
	tb.Helper()

	return sharedMariaDB.fresh(tb)
}

// MySQLDatabase returns an empty database of a shared MySQL 9 server: the server that the environment names (see
// [Serve]), or one of this process. The package's TestMain must use [Shared].
func MySQLDatabase(tb testing.TB) *Database {
	tb.Helper()

	return sharedMySQL.fresh(tb)
}

// The servers are shared by all tests of a process, and of several processes where the environment names servers.
var (
	sharing        atomic.Bool
	sharedPostgres = shared{kind: postgres{}, variable: "ONLYONCE_TEST_POSTGRES"}
	sharedMariaDB  = shared{kind: mariadb{}, variable: "ONLYONCE_TEST_MARIADB"}
	sharedMySQL    = shared{kind: mysql{}, variable: "ONLYONCE_TEST_MYSQL"}
)

// Serve starts a PostgreSQL and a MariaDB server for the tests of other processes, and a MySQL server if
// [servers.Variable] names it. It returns environment variables that name the servers, and a function that ends them.
func Serve() (environment []string, end func() error, err error) {
	all := []*shared{{kind: postgres{}, variable: sharedPostgres.variable}, {kind: mariadb{}, variable: sharedMariaDB.variable}}
	if servers.Chosen(servers.MySQL9) {
		all = append(all, &shared{kind: mysql{}, variable: sharedMySQL.variable})
	}

	var starting sync.WaitGroup

	failed := make([]error, len(all))
	for i, s := range all {
		starting.Go(func() { s.server, failed[i] = s.boot() })
	}

	starting.Wait()

	end = func() (err error) {
		for _, s := range all {
			err = errors.Join(err, s.end())
		}

		return err
	}

	if err := errors.Join(failed...); err != nil {
		return nil, nil, errors.Join(err, end())
	}

	for _, s := range all {
		environment = append(environment, s.variable+"="+s.server.addr)
	}

	return environment, end, nil
}

// shared is a server that starts at its first use. Tests cannot kill it, so it need not sync.
type shared struct {
	kind     kind
	variable string // of the environment, with the address of a server that runs already

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
		if addr := os.Getenv(s.variable); addr != "" {
			s.server = &Server{kind: s.kind, Database: &Database{engine: s.kind, addr: addr, name: s.kind.main()}}
		} else {
			s.server, s.failed = s.boot()
		}

		if s.failed == nil {
			s.server.own, s.failed = s.server.openOwn()
		}
	}

	return s.server, s.failed
}

// boot starts a server that has room for the connections of many tests.
func (s *shared) boot() (*Server, error) {
	return boot(s.kind, []Option{WithoutSync(), WithArgs(s.kind.connections(sharedConnections)...)})
}

// sharedConnections is how many connections a shared server has.
const sharedConnections = 500

// end closes the server's own database, and ends a server that was started here.
func (s *shared) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	server := s.server
	s.server = nil

	if server == nil {
		return nil
	}

	var err error
	if server.own != nil {
		err = server.own.Close()
		server.own = nil // a test that still removes its database opens a session of its own
	}

	if server.child == nil {
		return err
	}

	return errors.Join(err, server.end())
}

type sharers struct{ tests Tests }

func (x sharers) Run() int {
	code := x.tests.Run()

	if err := errors.Join(sharedPostgres.end(), sharedMariaDB.end(), sharedMySQL.end()); err != nil {
		fmt.Fprintln(os.Stderr, "ending the servers:", err)

		return max(code, 1)
	}

	return code
}

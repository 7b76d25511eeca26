package sqlstoretest_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// address forwards new connections to its current server. Open connections stay where they are.
type address struct {
	net.Listener

	target atomic.Pointer[string]
}

func newAddress(t *testing.T, target string) *address {
	t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	a := &address{Listener: listener}
	a.target.Store(&target)

	var running sync.WaitGroup

	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}

			running.Go(func() { a.serve(client) })
		}
	})

	// The pools end before.
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})

	return a
}

func (a *address) serve(client net.Conn) {
	defer client.Close()

	server, err := net.Dial("tcp", *a.target.Load())
	if err != nil {
		return // the client sees it
	}
	defer server.Close()

	var both sync.WaitGroup

	for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
		both.Go(func() {
			_, _ = io.Copy(to, from) // an error means that one side has gone

			if half, ok := to.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
		})
	}

	both.Wait()
}

// own is a server of a kind for this test alone.
func (k kind) own(t *testing.T) *sqltest.Server {
	t.Helper()

	switch k.name {
	case "MySQL":
		return sqltest.MySQL(t, sqltest.WithoutSync())
	case "MariaDB":
		return sqltest.MariaDB(t, sqltest.WithoutSync())
	default:
		return sqltest.Postgres(t, sqltest.WithoutSync())
	}
}

// demoting lists the statements that make a server read-only.
func (k kind) demoting() []string {
	if k.dialect == sqlstore.PostgreSQL {
		return []string{"ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"}
	}

	return []string{"SET GLOBAL read_only = 1"} // root may still write
}

// F99: the connections of a primary that became read-only once stayed in the pool, and 12 of 12 claims failed.
func TestF99AfterAFailoverBehindOneAddressTheStoreWritesToTheNewPrimary(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		const claims = 12

		servers := []*sqltest.Server{k.own(t), k.own(t)}
		users := strings.NewReplacer("root@", "app@", servers[0].Addr(), "{address}")
		dsn := users.Replace(servers[0].DSN(k.params...))

		for _, server := range servers {
			db := server.DB(t)
			k.on(t, db)
			k.orders(t, db)

			if k.dialect == sqlstore.MySQL {
				execute(t, db, "CREATE USER app;\nGRANT ALL ON "+server.Name()+".* TO app")
			}
		}

		at := newAddress(t, servers[0].Addr())

		db, err := sql.Open(servers[0].Driver(), strings.ReplaceAll(dsn, "{address}", at.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { db.Close() })
		pool(db)

		s, err := newStore(db, k.dialect, sqlstore.WithTimeout(generous))
		if err != nil {
			t.Fatal(err)
		}

		shop := &shop{kind: k, db: db}
		e := engine(t, s, onlyonce.SingleTransaction)

		openAll(t, db, connections, func(*sql.Conn) {})
		start(t, s, newClaim())
		call(t.Context(), e, "before", shop.sell("before")).mustBe(t, onlyonce.StatusExecuted, "#1")

		for _, statement := range k.demoting() {
			execute(t, servers[0].DB(t), statement)
		}

		// Until another primary takes over, writes fail.
		eventually(t, "writes are refused", func() bool {
			_, err := s.Claim(t.Context(), newClaim())

			return err != nil
		})

		if _, err := newStore(db, k.dialect); err == nil {
			t.Error("Check has found nothing")
		}

		// The pool fills with connections to the old primary, which stays open for reads. Calls on them are not executed.
		openAll(t, db, connections, func(*sql.Conn) {})

		target := servers[1].Addr()
		at.target.Store(&target)

		var failures error

		for i := range claims {
			claim := newClaim()
			if res, err := s.Claim(t.Context(), claim); err != nil || !res.Applied {
				failures = errors.Join(failures, fmt.Errorf("claim %d: applied=%t, %w", i, res.Applied, err))
			}

			key := fmt.Sprint("after-", i)
			if got := call(t.Context(), e, key, shop.sell(key)); got.Status != onlyonce.StatusExecuted {
				failures = errors.Join(failures, fmt.Errorf("call %d: %s, %w", i, got.Status, got.err))
			}
		}

		if failures != nil {
			t.Error(failures)
		}

		if n := k.rows(servers[1].DB(t)).count(t); n != 2*claims {
			t.Errorf("the new primary has %d records, want %d", n, 2*claims)
		}
	})
}

// openAll makes a pool hold n connections, and calls a function with each.
func openAll(t *testing.T, db *sql.DB, n int, with func(conn *sql.Conn)) {
	t.Helper()

	conns := make([]*sql.Conn, n)

	for i := range conns {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		conns[i] = conn
	}

	for _, conn := range conns {
		with(conn)
		conn.Close()
	}
}

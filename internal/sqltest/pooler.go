//go:build unix

package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// connections is how many connections a pooler has to its database.
const connections = 3

// Pooler starts pgbouncer in front of a PostgreSQL database, in transaction mode: clients share three connections to
// the server, each for the length of a transaction. It returns the database as reached through the pooler. It ends the
// pooler with the test.
func Pooler(tb testing.TB, d *Database) *Database {
	tb.Helper()

	for range servertest.PortAttempts {
		pooled, err := runPooler(tb, d, servertest.ProposePort())
		if err == nil {
			return pooled
		}

		if !errors.Is(err, servertest.ErrPortTaken) {
			tb.Fatal(err)
		}
	}

	tb.Fatalf("no free port for a pooler in %d attempts", servertest.PortAttempts)

	return nil
}

func runPooler(tb testing.TB, d *Database, port int) (*Database, error) {
	tb.Helper()

	dir, err := os.MkdirTemp("", "onlyonce-") //nolint:usetesting // a folder of a test is out of other users' reach
	if err != nil {
		return nil, err
	}

	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})

	host, server, err := net.SplitHostPort(d.addr)
	if err != nil {
		return nil, err
	}

	settings := fmt.Sprintf("[databases]\n%s = host=%s port=%s dbname=%s user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"+
		"listen_port = %d\nauth_type = any\npool_mode = transaction\ndefault_pool_size = %d\nunix_socket_dir =\n"+
		"ignore_startup_parameters = extra_float_digits\n", d.name, host, server, d.name, port, connections)

	path := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(settings), 0o644); err != nil {
		return nil, err
	}

	cmd, err := postgres{}.companion(dir, "pgbouncer", "pgbouncer", path)
	if err != nil {
		return nil, err
	}

	said, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()

	cmd.Stdout, cmd.Stderr = said, said

	child, err := servertest.Start(cmd)
	if err != nil {
		return nil, err
	}

	tb.Cleanup(child.Kill)

	pooled := &Database{engine: d.engine, addr: servertest.Address(port), name: d.name}

	if err := servertest.Poll(pooled.answers, child.Ended()); err != nil {
		if child.IsEnded() {
			log, _ := os.ReadFile(said.Name())

			return nil, fmt.Errorf("%w, or pgbouncer does not start: %w\n%s", servertest.ErrPortTaken, err, log)
		}

		return nil, err
	}

	return pooled, nil
}

// answers returns nil when the database does.
func (d *Database) answers() error {
	db, err := sql.Open(d.Driver(), d.DSN("default_query_exec_mode=exec"))
	if err != nil {
		return err
	}
	defer db.Close()

	ctx, cancel := context.WithTimeout(context.Background(), servertest.Patience)
	defer cancel()

	return db.PingContext(ctx)
}

//go:build unix

package sqltest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver
)

// MariaDB starts a MariaDB server. All connections log in as root, without a password.
func MariaDB(tb testing.TB, options ...Option) *Server {
	tb.Helper()

	return start(tb, mariadb{}, options)
}

type mariadb struct{}

func (mariadb) driver() string     { return "mysql" }
func (mariadb) main() string       { return "test" }
func (mariadb) dialogue() dialogue { return newMySQLDialogue() }

func (mariadb) connections(n int) []string {
	return []string{"--max-connections=" + strconv.Itoa(n)}
}

func (mariadb) dsn(addr, database, params string) string {
	return fmt.Sprintf("root@tcp(%s)/%s?%s", addr, database, params)
}

// program returns a MariaDB program with its own folder for temporary files. At its start, it removes all temporary
// tables in that folder, also those of a server that is being installed.
func (mariadb) program(s *Server, name string, args ...string) (*exec.Cmd, error) {
	path, err := find(name, "mariadb-server", "/usr/sbin", "/usr/local/sbin", "/usr/libexec")
	if err != nil {
		return nil, err
	}

	temporary := filepath.Join(s.dir, "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return nil, err
	}

	args = append([]string{"--no-defaults"}, args...) // ignores the options of the system
	args = append(args, "--tmpdir="+temporary)

	if os.Geteuid() == 0 {
		args = append(args, "--user=root") // or it refuses to run
	}

	return exec.Command(path, args...), nil
}

func (mariadb) data(s *Server) string { return filepath.Join(s.dir, "data") }

// smallLog also goes to the installation, which makes the log.
const smallLog = "--innodb-log-file-size=8M"

func (m mariadb) install(s *Server) error {
	cmd, err := m.program(s, "mariadb-install-db", "--datadir="+m.data(s), smallLog,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	if err != nil {
		return err
	}

	if err := output(cmd); err != nil {
		return err
	}

	return os.Mkdir(filepath.Join(m.data(s), m.main()), 0o700) // a folder is a database
}

func (m mariadb) command(s *Server) (*exec.Cmd, error) {
	args := []string{
		"--datadir=" + m.data(s), "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.port),
		"--socket=" + filepath.Join(s.dir, "socket"), "--pid-file=" + m.pidFile(s), smallLog,
		"--innodb-buffer-pool-size=16M", "--innodb-buffer-pool-dump-at-shutdown=OFF", "--key-buffer-size=1M",
		"--aria-pagecache-buffer-size=1M", "--skip-log-bin", "--skip-name-resolve", "--skip-ssl",
		"--performance-schema=OFF", "--max-connections=200", "--innodb-flush-log-at-trx-commit=1",
	}
	if s.unsynced {
		args = append(args, "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync")
	}

	return m.program(s, "mariadbd", append(args, s.args...)...)
}

func (mariadb) pidFile(s *Server) string { return filepath.Join(s.dir, "pid") }

func (m mariadb) isOwn(ctx context.Context, s *Server, db *sql.DB) error {
	var file string
	if err := db.QueryRowContext(ctx, "SELECT @@pid_file").Scan(&file); err != nil {
		return err
	}

	if file != m.pidFile(s) {
		return fmt.Errorf("a server with the files of %s has the port", file)
	}

	return nil
}

// drop ends the sessions first. A session that waits for a lock does not notice that its client has gone.
func (mariadb) drop(ctx context.Context, db *sql.DB, name string) error {
	rows, err := db.QueryContext(ctx, "SHOW PROCESSLIST")
	if err != nil {
		return err
	}
	defer rows.Close()

	columns, err := rows.Columns() // id, user, host and database, and more that differs between servers
	if err != nil {
		return err
	}

	for rows.Next() {
		all := make([]any, len(columns))
		for i := range all {
			all[i] = new(sql.RawBytes)
		}

		var (
			id int64
			at sql.NullString
		)

		all[0], all[3] = &id, &at
		if err := rows.Scan(all...); err != nil {
			return err
		}

		if at.String == name {
			_, _ = db.ExecContext(ctx, fmt.Sprintf("KILL %d", id)) // an error means that the session has ended
		}
	}

	if err := rows.Err(); err != nil {
		return err
	}

	_, err = db.ExecContext(ctx, "DROP DATABASE "+name)

	return err
}

// stop does nothing: Kill is enough for a server whose files are removed.
func (mariadb) stop(*Server) {}

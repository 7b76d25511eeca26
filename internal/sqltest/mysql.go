//go:build unix

package sqltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

// MySQL starts a MySQL 9 server, which need not be installed. All connections log in as root, without a password.
func MySQL(tb testing.TB, options ...Option) *Server {
	tb.Helper()

	return start(tb, mysql{}, options)
}

// mysql has the protocol and the statements of MariaDB.
type mysql struct{ mariadb }

// program is mysqld. Its own files are where the program is, and all others in a folder.
func (mysql) program(dir string, args ...string) (*exec.Cmd, error) {
	program, err := servers.Find(servers.MySQL9)
	if err != nil {
		return nil, err
	}

	temporary := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return nil, err
	}

	usr := filepath.Dir(filepath.Dir(program.Path()))
	share := usr + "/share/mysql"
	args = append([]string{
		"--no-defaults", // ignores the options of the system
		"--basedir=" + usr, "--lc-messages-dir=" + share, "--character-sets-dir=" + share + "/charsets",
		"--plugin-dir=" + usr + "/lib/mysql/plugin", "--secure-file-priv=NULL", "--tmpdir=" + temporary,
		"--datadir=" + filepath.Join(dir, "data"), "--innodb-redo-log-capacity=8M", "--innodb-buffer-pool-size=16M",
		"--skip-log-bin",
	}, args...)

	if os.Geteuid() == 0 {
		args = append(args, "--user=root") // or it refuses to run
	}

	return program.Command(args...), nil
}

// install copies a data folder that takes MySQL seconds to make.
func (m mysql) install(s *Server) error {
	made, err := servers.Cached("mysql-9-data", func(dir string) error {
		// For MySQL, a folder is not a database, and root may only log in through a socket.
		create := filepath.Join(dir, "create.sql")
		statements := "CREATE DATABASE " + m.main() + ";\nRENAME USER root@localhost TO root@'%';\n"

		if err := os.WriteFile(create, []byte(statements), 0o600); err != nil {
			return err
		}

		cmd, err := m.program(dir, "--initialize-insecure", "--init-file="+create, "--innodb-flush-method=nosync")
		if err != nil {
			return err
		}

		return output(cmd)
	})
	if err != nil {
		return err
	}

	return os.CopyFS(m.data(s), os.DirFS(filepath.Join(made, "data")))
}

func (m mysql) command(s *Server) (*exec.Cmd, error) {
	args := []string{
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.port),
		"--socket=" + filepath.Join(s.dir, "socket"), "--pid-file=" + m.pidFile(s), "--mysqlx=OFF",
		"--innodb-buffer-pool-dump-at-shutdown=OFF", "--performance-schema=OFF", "--skip-name-resolve",
		"--max-connections=200", "--innodb-flush-log-at-trx-commit=1",
	}
	if s.unsynced {
		args = append(args, "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync")
	}

	return m.program(s.dir, append(args, s.args...)...)
}

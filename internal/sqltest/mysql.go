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

// MySQL starts a server of MySQL 9, which is unpacked for it (package servers). All connections are those of its root, without a password.
func MySQL(tb testing.TB, options ...Option) *Server {
	tb.Helper()

	return start(tb, mysql{}, options)
}

// mysql is MySQL itself. It differs from MariaDB in its program.
type mysql struct{ mariadb }

// program is the server with the files that it was unpacked with.
func (m mysql) program(s *Server, args ...string) (*exec.Cmd, error) {
	server, err := servers.Find(servers.MySQL9, "mysqld")
	if err != nil {
		return nil, err
	}

	temporary := filepath.Join(s.dir, "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return nil, err
	}

	base := filepath.Dir(filepath.Dir(server.Path()))
	share := filepath.Join(base, "share", "mysql")
	args = append([]string{
		"--no-defaults", // those of the system
		"--basedir=" + base, "--lc-messages-dir=" + share, "--character-sets-dir=" + filepath.Join(share, "charsets"),
		"--datadir=" + m.data(s), "--tmpdir=" + temporary, "--secure-file-priv=NULL", "--innodb-redo-log-capacity=8M",
	}, args...)

	if os.Geteuid() == 0 {
		args = append(args, "--user=root") // or it refuses to run
	}

	return server.Command(args...), nil
}

func (m mysql) install(s *Server) error {
	first := filepath.Join(s.dir, "first.sql")
	if err := os.WriteFile(first, []byte("CREATE DATABASE "+m.main()+";\n"), 0o600); err != nil {
		return err
	}

	cmd, err := m.program(s, "--initialize-insecure", "--init-file="+first)
	if err != nil {
		return err
	}

	return output(cmd)
}

func (m mysql) command(s *Server) (*exec.Cmd, error) {
	args := []string{
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.port), "--mysqlx=OFF",
		"--socket=" + filepath.Join(s.dir, "socket"), "--pid-file=" + m.pidFile(s),
		"--innodb-buffer-pool-size=16M", "--innodb-buffer-pool-dump-at-shutdown=OFF", "--key-buffer-size=1M",
		"--disable-log-bin", "--performance-schema=OFF", "--max-connections=200",
	}
	if s.unsynced {
		args = append(args, "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync")
	}

	return m.program(s, append(args, s.args...)...)
}

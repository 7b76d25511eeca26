//go:build unix

package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

// Postgres starts a PostgreSQL server. All connections use its superuser, without a password.
func Postgres(tb testing.TB, options ...Option) *Server {
	tb.Helper()

	return start(tb, postgres{}, options)
}

type postgres struct{}

func (postgres) driver() string     { return "pgx" }
func (postgres) main() string       { return "postgres" }
func (postgres) dialogue() dialogue { return new(postgresDialogue) }

func (postgres) connections(n int) []string {
	return []string{"-c", "max_connections=" + strconv.Itoa(n)}
}

func (postgres) dsn(addr, database, params string) string {
	return fmt.Sprintf("postgres://postgres@%s/%s?%s", addr, database, query("sslmode=disable", params))
}

// program returns a command that runs a program of PostgreSQL, not as root, which it refuses.
func (p postgres) program(s *Server, name string, args ...string) (*exec.Cmd, error) {
	if !servers.Chosen(servers.PostgreSQL18) {
		return p.companion(s.dir, "postgresql", name, args...)
	}

	server, err := servers.Find(servers.PostgreSQL18)
	if err != nil {
		return nil, err
	}

	return p.unprivileged(server.Beside(name).Command(args...), s.dir)
}

// companion is like program, for a program that has its own package and works in a folder.
func (p postgres) companion(dir, pkg, name string, args ...string) (*exec.Cmd, error) {
	path, err := find(name, pkg, "/usr/lib/postgresql/*/bin", "/usr/sbin")
	if err != nil {
		return nil, err
	}

	// PATH may lead to a wrapper's link, but a server looks for its files next to the program.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}

	return p.unprivileged(exec.Command(path, args...), dir)
}

// unprivileged lets a command work in a folder, and not as root.
func (postgres) unprivileged(cmd *exec.Cmd, dir string) (*exec.Cmd, error) {
	cmd.Dir = dir

	if os.Geteuid() != 0 {
		return cmd, nil
	}

	somebody, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user to run it: %w", err)
	}

	uid, err := strconv.Atoi(somebody.Uid)
	if err != nil {
		return nil, err
	}

	gid, err := strconv.Atoi(somebody.Gid)
	if err != nil {
		return nil, err
	}

	runAs(cmd, uid, gid)

	return cmd, os.Chown(dir, uid, gid)
}

func (p postgres) install(s *Server) error {
	cmd, err := p.program(s, "initdb", "--pgdata", p.data(s), "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	if err != nil {
		return err
	}

	return output(cmd)
}

func (postgres) data(s *Server) string { return filepath.Join(s.dir, "data") }

func (p postgres) command(s *Server) (*exec.Cmd, error) {
	args := []string{
		"-D", p.data(s), "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", "",
		"-c", "shared_buffers=16MB", "-c", "max_connections=200",
	}
	if s.unsynced {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}

	return p.program(s, "postgres", append(args, s.args...)...)
}

func (postgres) drop(ctx context.Context, db *sql.DB, name string) error {
	_, err := db.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")

	return err
}

// pidFile returns the lines of the file that a server keeps while it lives. Line 1 has its process, line 7 its shared
// memory, and line 8 whether it is ready.
func (p postgres) pidFile(s *Server) []string {
	text, err := os.ReadFile(filepath.Join(p.data(s), "postmaster.pid"))
	if err != nil {
		return nil
	}

	return strings.Split(string(text), "\n")
}

func (p postgres) isOwn(ctx context.Context, s *Server, db *sql.DB) error {
	lines := p.pidFile(s)
	if len(lines) < 8 || lines[0] != strconv.Itoa(s.child.PID()) || strings.TrimSpace(lines[7]) != "ready" {
		return errors.New("it is not ready")
	}

	return db.PingContext(ctx)
}

// graceful is how long an end may take that is not forced.
const graceful = 5 * time.Second

// stop ends all sessions at once, as a crash does.
func (p postgres) stop(s *Server) {
	if s.child.Signal(syscall.SIGQUIT) == nil {
		within(graceful, s.child)
	}

	// A killed server leaves a few bytes of shared memory to the system.
	if lines := p.pidFile(s); len(lines) > 6 {
		if memory := strings.Fields(lines[6]); len(memory) == 2 {
			_ = exec.Command("ipcrm", "-m", memory[1]).Run() // an error means that the server left none
		}
	}
}

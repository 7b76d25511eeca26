//go:build unix

package redistest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

// Require returns the server for the tests: redis-server, or the Valkey release that the environment names ([servers.Variable]). As root on
// Debian, it installs a missing redis-server. Otherwise it fails the test and names the missing package.
//
// make test installs redis-server first, so that concurrent test packages do not.
func Require(tb testing.TB) servers.Program {
	tb.Helper()

	program, err := findServer()
	if err != nil {
		tb.Fatal(err)
	}

	return program
}

var findServer = sync.OnceValues(func() (servers.Program, error) {
	for _, release := range []string{servers.Valkey8, servers.Valkey9} {
		if servers.Chosen(release) {
			return servers.Find(release)
		}
	}

	path, err := find("redis-server", func() error {
		if _, err := os.Stat("/etc/debian_version"); err != nil || os.Geteuid() != 0 {
			return errors.New("only root on Debian can have it installed")
		}

		// The list of packages may be missing or outdated. The package may start its own server on the default port,
		// which the tests do not use.
		if err := apt("install", "-y", "--no-install-recommends", "redis-server"); err == nil {
			return nil
		}

		if err := apt("update"); err != nil {
			return err
		}

		return apt("install", "-y", "--no-install-recommends", "redis-server")
	})

	return servers.Installed(path), err
})

// find returns where a program is, which may be only after its installation.
func find(program string, install func() error) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}

	failed := install()

	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("tests need %s 7.0 or newer in PATH, install it (Debian: apt-get install redis-server): %w",
			program, cmp.Or(failed, err))
	}

	return path, nil
}

func apt(args ...string) error {
	// Somebody else may be installing something.
	cmd := exec.Command("apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")

	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w", args[0], err)
	}

	return nil
}

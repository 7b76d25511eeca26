//go:build unix

package rabbittest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// programs are the programs of an installed RabbitMQ.
type programs struct {
	// server is the script of RabbitMQ. It is not the wrapper in PATH, which Debian's package makes start the system's server as another
	// user.
	server string
	// epmd is Erlang's port mapper.
	epmd string
}

// find returns the installed programs. It has Debian's package installed if the user is root.
//
// Test packages run at the same time, and should not all install it: make test does so before it runs them.
var find = sync.OnceValues(func() (programs, error) {
	found, err := look()
	if err == nil {
		return found, nil
	}

	if failed := install(); failed != nil {
		return programs{}, fmt.Errorf("tests need RabbitMQ 3.10 or newer, install it (Debian: apt-get install rabbitmq-server): %w",
			errors.Join(err, failed))
	}

	return look()
})

func look() (found programs, err error) {
	for _, pattern := range []string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server"} {
		if paths, _ := filepath.Glob(pattern); len(paths) > 0 {
			found.server = paths[0]

			break
		}
	}

	if found.server == "" {
		if found.server, err = exec.LookPath("rabbitmq-server"); err != nil {
			return programs{}, err
		}
	}

	found.epmd, err = exec.LookPath("epmd")

	return found, err
}

// install installs Debian's package. The package starts no server of its own meanwhile.
func install() (err error) {
	if _, err := os.Stat("/etc/debian_version"); err != nil || os.Geteuid() != 0 {
		return errors.New("only root on Debian can have it installed")
	}

	const policy = "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
			return err
		}

		defer func() { err = errors.Join(err, os.Remove(policy)) }()
	}

	if err := apt("install", "-y", "--no-install-recommends", "rabbitmq-server"); err == nil {
		return nil
	}

	// The list of packages may be missing, or older than the packages.
	if err := apt("update"); err != nil {
		return err
	}

	return apt("install", "-y", "--no-install-recommends", "rabbitmq-server")
}

func apt(args ...string) error {
	// Another process may be installing something.
	cmd := exec.Command("apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")

	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
	}

	return nil
}

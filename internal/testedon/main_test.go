//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThePageIsUpToDate(t *testing.T) {
	t.Parallel()

	var want bytes.Buffer
	if err := run(&want, nil); err != nil {
		t.Fatal(err)
	}

	got, err := os.ReadFile("../../docs/tested.md")
	if err != nil {
		t.Fatal(err)
	}

	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/tested.md does not list the matrix: run go run ./internal/testedon > docs/tested.md")
	}
}

func TestAllSuitesExist(t *testing.T) {
	t.Parallel()

	for _, tested := range servers.Matrix() {
		for _, suite := range tested.Suites {
			files, err := filepath.Glob(filepath.Join("..", "..", suite.Dir, suite.Package, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Errorf("%s: the package %s has no tests, %v", tested.Server, suite, err)
			}

			if _, err := os.Stat(filepath.Join("..", "..", suite.Dir, "go.mod")); err != nil {
				t.Errorf("%s is not in a module: %v", suite, err)
			}
		}
	}
}

func TestEveryServerPassesTheContract(t *testing.T) {
	t.Parallel()

	for _, tested := range servers.Matrix() {
		contract := slices.DeleteFunc(tested.Suites, func(s servers.Suite) bool { return !regexp.MustCompile(s.Run).MatchString("TestContract") })

		if !slices.ContainsFunc(contract, hasContract) {
			t.Errorf("no suite of %s %s runs storetest", tested.Server, tested.Version)
		}
	}
}

func hasContract(suite servers.Suite) bool {
	text, err := os.ReadFile(filepath.Join("..", "..", suite.Dir, suite.Package, "contract_test.go"))

	return err == nil && strings.Contains(string(text), "storetest.Run(")
}

// What make runs is what the page says.
func TestTheCommandsOfATargetRunItsSuitesOnItsReleases(t *testing.T) {
	t.Parallel()

	for target, releases := range map[string]string{
		servers.MakeTest:        "valkey-8",
		servers.MakeTestServers: "valkey-9,postgresql-18,mysql-9",
		servers.MakeSoak:        "valkey-8",
		"valkey-8":              "valkey-8",
		"mysql-9,valkey-9":      "valkey-9,mysql-9",
	} {
		var chosen, commands strings.Builder
		if err := run(&chosen, []string{"releases", target}); err != nil || strings.TrimSpace(chosen.String()) != releases {
			t.Errorf("make %s: %q, %v", target, chosen.String(), err)
		}

		if err := run(&commands, []string{"commands", target, "go", "test"}); err != nil {
			t.Fatal(err)
		}

		selected := ""
		if target == servers.MakeTest {
			selected = "-run 'TestContract|TestCheck|TestF89AUser|TestF90' "
		}

		want := "cd .; ONLYONCE_TEST_SERVERS=" + releases + " go test " + selected + "./store/redisstore\n"
		if !strings.Contains(commands.String(), want) || strings.Count(commands.String(), "./store/redisstore\n") != 1 {
			t.Errorf("make %s runs\n%s", target, &commands)
		}
	}

	for _, use := range []string{
		"testedon fetch test\n", "testedon commands test ",
		"SERVERS  ?= test-servers\n", "testedon fetch $(SERVERS)\n", "testedon commands $(SERVERS) ", "soak: test-servers ",
		"$(MAKE) test-servers SERVERS=soak\n",
	} {
		if !strings.Contains(makefile(t), use) {
			t.Errorf("the Makefile does not have %q", use)
		}
	}
}

func makefile(t *testing.T) string {
	t.Helper()

	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}

// The shell ends with a command that fails, but not if the command is an argument of another one, or a file that it reads.
func TestTheMakefileHidesNoFailure(t *testing.T) {
	t.Parallel()

	hides := regexp.MustCompile(`\b(export|local|declare|readonly) .*=\$\$\(|< <\(|<\(go `)

	for n, line := range strings.Split(makefile(t), "\n") {
		if hides.MatchString(line) {
			t.Errorf("line %d hides the status of a command: %s", n+1, line)
		}
	}
}

func TestUnknownTargetsAndCommandsAreErrors(t *testing.T) {
	t.Parallel()

	for _, args := range [][]string{{"fetch"}, {"fetch", "tests"}, {"fetch", "valkey-9,tests"}, {"fly", "test"}} {
		if err := run(new(bytes.Buffer), args); err == nil {
			t.Errorf("%q is no error", args)
		}
	}
}

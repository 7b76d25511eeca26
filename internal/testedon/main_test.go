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
	"github.com/onlyonce-go/onlyonce/internal/testnames"
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
			selected = "-run 'TestContract$|TestContractInACluster|TestCheck|TestF89AUser|TestF90' "
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

// The tests that make test skips exist, and make soak runs them in the same modules.
func TestMakeSoakRunsWhatMakeTestSkips(t *testing.T) {
	t.Parallel()

	text := makefile(t)

	list := regexp.MustCompile(`(?m)^LATER +:= (.+)$`).FindStringSubmatch(text)
	if list == nil || strings.Count(text, `-skip "$(LATER)"`) != 2 || strings.Count(text, `-run '$(LATER)' ./...`) != 1 {
		t.Fatalf("the Makefile skips or runs LATER in other places: %q", list)
	}

	slowest := regexp.MustCompile(`(?m)^SLOWEST +:= (.+)$`).FindStringSubmatch(text)
	soak := regexp.MustCompile(`(?m)^\tfor module in (.+); do\n.*what make test leaves out`).FindStringSubmatch(text)

	if slowest == nil || soak == nil {
		t.Fatal("the Makefile does not have the modules of make test or make soak")
	}

	all, err := testnames.All("../..")
	if err != nil {
		t.Fatal(err)
	}

	skipped := regexp.MustCompile(list[1])
	skips := append(strings.Fields(slowest[1]), ".")

	for name := range strings.SplitSeq(list[1], "|") {
		if !slices.ContainsFunc(all, func(test testnames.Test) bool { return test.Name == name }) {
			t.Errorf("there is no test %s, which LATER names", name)
		}
	}

	for _, test := range all {
		if !skipped.MatchString(test.Name) {
			continue
		}

		_, path, _ := strings.Cut(test.Link, "](../")
		module := moduleOf(t, filepath.Dir(path))

		if slices.Contains(skips, module) && !slices.Contains(strings.Fields(soak[1]), module) {
			t.Errorf("make test skips %s in %s, and make soak does not run it", test.Name, module)
		}
	}
}

// moduleOf returns the module of a folder, as the Makefile names it.
func moduleOf(t *testing.T, folder string) string {
	t.Helper()

	for ; folder != "."; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join("..", "..", folder, "go.mod")); err == nil {
			return "./" + filepath.ToSlash(folder)
		}
	}

	return "."
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

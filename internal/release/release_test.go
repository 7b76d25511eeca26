package main

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var build = flag.Bool("build", false, "compile the services that use the released modules")

const (
	version = "v0.1.0"
	kit     = "github.com/onlyonce-go/onlyonce"
)

// A released version is used the way users do: outside of the repository, without go.work and replace directives. The go command takes the
// modules from the tags of a copy of the repository.
//
//nolint:tparallel // its parts share a module cache, and the last one moves the repository
func TestTheModulesOfAVersionCanBeUsedTogether(t *testing.T) {
	t.Parallel()

	repo := copyOfRepository(t)

	tags, err := release(t.Context(), string(repo), version)
	if err != nil {
		t.Fatal(err)
	}

	if got := strings.Fields(git(t, repo, "tag", "--list")); len(got) != len(tags) || tags[0] != version {
		t.Errorf("the release made the tags %q, the repository has %q", tags, got)
	}

	if changes := git(t, repo, "status", "--porcelain"); changes != "" {
		t.Errorf("the release has left changes:\n%s", changes)
	}

	if parents := git(t, repo, "rev-list", "--count", version+"^.."+"cmd/onlyonce/"+version); parents != "2" {
		t.Errorf("the tag of the program is %s commits behind the changes of the release, want 2: the release, and its own", parents)
	}

	modules, err := repo.modules(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	users := newUsers(t, repo)

	t.Run("a service with a store in memory", func(t *testing.T) {
		folder := users.service(t, "small")

		for mod := range strings.Lines(users.run(t, folder, "go", "mod", "edit", "-print")) {
			if isDriver(strings.TrimSpace(mod)) {
				t.Errorf("go.mod has the driver %s", mod)
			}
		}

		for pkg := range strings.FieldsSeq(users.run(t, folder, "go", "list", "-deps", ".")) {
			if isDriver(pkg) {
				t.Errorf("the service links %s", pkg)
			}
		}

		for mod := range strings.Lines(users.run(t, folder, "go", "list", "-m", "all")) {
			// The module of the engine has the Redis store, too. Its driver is only named here, and not downloaded.
			if isDriver(mod) && !strings.HasPrefix(mod, "github.com/redis/go-redis/v9 ") {
				t.Errorf("the module graph of the service has %s", mod)
			}
		}

		if _, err := os.Stat(filepath.Join(users.cache, "github.com", "redis")); err == nil {
			t.Error("the service has downloaded the driver of Redis")
		}
	})

	t.Run("a service with every module", func(t *testing.T) {
		folder := users.service(t, "whole")

		mods := users.run(t, folder, "go", "list", "-m", "all")
		for _, m := range modules {
			if m.imported() && !strings.Contains(mods, m.path+" "+version+"\n") {
				t.Errorf("the service does not have %s; import it in testdata/whole", m.path)
			}
		}
	})

	t.Run("the program", func(t *testing.T) {
		args := []string{"go", "install"}
		if !*build {
			args = append(args, "-n") // all but compiling
		}

		users.run(t, t.TempDir(), append(args, kit+"/cmd/onlyonce@"+version)...)
	})

	t.Run("the commit of the program is tidy", func(t *testing.T) {
		git(t, repo, "checkout", "--quiet", "cmd/onlyonce/"+version)
		users.run(t, filepath.Join(string(repo), "cmd", "onlyonce"), "go", "mod", "tidy", "-diff")
	})
}

// isDriver reports whether the path of a package or module is that of a driver of a database or a broker.
func isDriver(path string) bool {
	return slices.ContainsFunc([]string{
		"database/sql", "github.com/go-sql-driver/", "github.com/jackc/", "github.com/nats-io/", "github.com/rabbitmq/", "github.com/redis/",
		"github.com/twmb/", "modernc.org/",
	}, func(driver string) bool { return strings.HasPrefix(path, driver) })
}

// copyOfRepository copies the files of this repository, as they are now, into a repository that is ready for the version.
func copyOfRepository(t *testing.T) tree {
	t.Helper()

	here, repo := tree(filepath.Join("..", "..")), tree(t.TempDir())

	for name := range strings.SplitSeq(git(t, here, "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00") {
		if info, err := os.Lstat(filepath.Join(string(here), name)); name == "" || err != nil || !info.Mode().IsRegular() {
			continue
		}

		text, err := os.ReadFile(filepath.Join(string(here), name))
		if err != nil {
			t.Fatal(err)
		}

		if name == "CHANGELOG.md" {
			text = []byte(strings.Replace(string(text), "## [Unreleased]\n", "## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n", 1))
		}

		if err := os.MkdirAll(filepath.Join(string(repo), filepath.Dir(name)), 0o750); err != nil {
			t.Fatal(err)
		}

		write(t, repo, name, string(text))
	}

	commitAll(t, repo)

	return repo
}

// users are the folders of users, who have a module cache of their own: the version must not stay in that of the developer.
type users struct {
	env   []string
	cache string
	sums  string // a go.sum with the modules that the released modules require, so that no checksum database is needed
}

func newUsers(t *testing.T, repo tree) users {
	t.Helper()

	u := users{cache: t.TempDir()}

	for file := range strings.FieldsSeq(git(t, repo, "ls-files", "go.sum", "*/go.sum")) {
		text, err := os.ReadFile(filepath.Join(string(repo), file))
		if err != nil {
			t.Fatal(err)
		}

		u.sums += string(text)
	}

	// Other modules come out of the developer's cache, if it has them.
	goenv := strings.Split(u.run(t, ".", "go", "env", "GOMODCACHE", "GOPROXY"), "\n")
	u.env = append(fetchFrom(string(repo), kit), "GOMODCACHE="+u.cache, "GOBIN="+t.TempDir(), "GOFLAGS=-modcacherw",
		"GOPROXY=file://"+filepath.ToSlash(goenv[0])+"/cache/download,"+goenv[1])

	return u
}

// run runs a command of a user.
func (u users) run(t *testing.T, folder string, args ...string) string {
	t.Helper()

	out, err := tree(folder).command(t.Context(), "", slices.Concat([]string{"env"}, u.env, args)...)
	if err != nil {
		t.Fatal(err)
	}

	return out
}

// service returns the folder of a new module with the program of a folder of testdata, which builds.
func (u users) service(t *testing.T, name string) string {
	t.Helper()

	text, err := os.ReadFile(filepath.Join("testdata", name, "main.go"))
	if err != nil {
		t.Fatal(err)
	}

	folder := tree(t.TempDir())
	write(t, folder, "main.go", string(text))
	write(t, folder, "go.sum", u.sums)
	u.run(t, string(folder), "go", "mod", "init", "example.com/"+name)
	u.run(t, string(folder), "go", "mod", "tidy")

	if *build {
		u.run(t, string(folder), "go", "build", "-o", filepath.Join(t.TempDir(), name), ".")
	}

	return string(folder)
}

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// released returns a repository, and a clone of it with a release that the repository does not have yet.
func released(t *testing.T) (repo, clone tree, tags []string) {
	t.Helper()

	repo, clone = tree(t.TempDir()), tree(t.TempDir())
	write(t, repo, "kit.go", "package kit\n")
	commitAll(t, repo)

	if err := repo.cloneTo(t.Context(), clone); err != nil {
		t.Fatal(err)
	}

	git(t, clone, "commit", "--quiet", "--allow-empty", "--message", "release "+version)

	tags = []string{version, "otel/" + version}
	for _, tag := range tags {
		git(t, clone, "tag", "--annotate", "--message", "release", tag)
	}

	return repo, clone, tags
}

func commit(t *testing.T, repo tree, name string) {
	t.Helper()

	write(t, repo, name, "package kit\n")
	git(t, repo, "add", ".")
	git(t, repo, "commit", "--quiet", "--message", name)
}

func TestAReleaseThatCannotBeTakenLeavesTheRepositoryAsItIs(t *testing.T) {
	t.Parallel()

	for name, change := range map[string]func(t *testing.T, repo tree){
		"main has another commit since": func(t *testing.T, repo tree) { t.Helper(); commit(t, repo, "new.go") },
		"one of the tags exists since":  func(t *testing.T, repo tree) { t.Helper(); git(t, repo, "tag", "otel/"+version) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			repo, clone, tags := released(t)
			change(t, repo)

			before := git(t, repo, "show-ref", "--head")

			if err := repo.take(t.Context(), clone, tags); err == nil {
				t.Error("the release is taken")
			}

			if after := git(t, repo, "show-ref", "--head"); after != before {
				t.Errorf("the repository has\n%s\nand had\n%s", after, before)
			}
		})
	}
}

func TestAReleaseIsTakenBackAndLaterCommitsStay(t *testing.T) {
	t.Parallel()

	repo, clone, tags := released(t)
	before := git(t, repo, "rev-parse", "HEAD")

	if err := repo.take(t.Context(), clone, tags); err != nil {
		t.Fatal(err)
	}

	if got := git(t, repo, "rev-parse", version+"^{commit}"); got != git(t, repo, "rev-parse", "HEAD") || got == before {
		t.Fatalf("the tag is on %s", got)
	}

	commit(t, repo, "later.go")

	undo := exec.CommandContext(t.Context(), "sh", "-c", undoing(version, tags))
	undo.Dir = string(repo)

	if out, err := undo.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	if log := git(t, repo, "log", "--format=%s"); log != "later.go\neverything" {
		t.Errorf("main has %q", strings.Split(log, "\n"))
	}

	if left := git(t, repo, "tag", "--list"); left != "" {
		t.Errorf("tags are left: %s", left)
	}
}

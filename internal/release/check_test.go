package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsNotReadyIsRefused(t *testing.T) {
	t.Parallel()

	const released = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n"

	unchanged := func(*testing.T, tree) {}
	branched := func(t *testing.T, repo tree) { t.Helper(); git(t, repo, "checkout", "--quiet", "-b", "other") }
	changed := func(t *testing.T, repo tree) { t.Helper(); write(t, repo, "new.go", "package kit\n") }
	tagged := func(t *testing.T, repo tree) { t.Helper(); git(t, repo, "tag", "otel/v0.1.0") }

	rows := []struct {
		name    string
		version string
		prepare func(t *testing.T, repo tree)
		want    string // "": ready
	}{
		{"all is ready", "v0.1.0", unchanged, ""},
		{"no v", "0.1.0", unchanged, "no version"},
		{"short", "v0.1", unchanged, "no version"},
		{"major version of another path", "v2.0.0", unchanged, "no version"},
		{"another branch", "v0.1.0", branched, "branch is other"},
		{"a change", "v0.1.0", changed, "not committed"},
		{"a tag", "v0.1.0", tagged, "has tags already: otel/v0.1.0"},
		{"no section", "v0.1.1", unchanged, "CHANGELOG.md has no line"},
	}

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			repo := tree(t.TempDir())
			write(t, repo, "CHANGELOG.md", released)
			commitAll(t, repo)
			row.prepare(t, repo)

			err := check(t.Context(), repo, row.version)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("check returned %v, want %q", err, row.want)
			}
		})
	}
}

func TestASectionWithoutADateIsRefused(t *testing.T) {
	t.Parallel()

	for changelog, ready := range map[string]bool{
		"## [0.1.0] - 2026-12-01\n":   true,
		"## [0.1.0]\n":                false,
		"## [0.1.0] - unreleased\n":   false,
		"## [0.1.01] - 2026-12-01\n":  false,
		"see ## [0.1.0] - 2026-12-01": false,
	} {
		if err := checkChangelog(changelog, "v0.1.0"); (err == nil) != ready {
			t.Errorf("%q: %v", changelog, err)
		}
	}
}

// git runs git in a repository of a test.
func git(t *testing.T, repo tree, args ...string) string {
	t.Helper()

	out, err := repo.git(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}

	return out
}

// commitAll makes a repository of a folder, with one commit on main.
func commitAll(t *testing.T, repo tree) {
	t.Helper()

	git(t, repo, "init", "--quiet", "--initial-branch=main")
	git(t, repo, "config", "user.name", "A Tester")
	git(t, repo, "config", "user.email", "tester@example.com")
	git(t, repo, "config", "commit.gpgSign", "false")
	git(t, repo, "config", "tag.gpgSign", "false")
	git(t, repo, "add", ".")
	git(t, repo, "commit", "--quiet", "--message", "everything")
}

func write(t *testing.T, repo tree, name, text string) {
	t.Helper()

	if err := os.WriteFile(filepath.Join(string(repo), name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// versions matches the versions of modules whose paths do not end in /v2 or more.
var versions = regexp.MustCompile(`^v[01]\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$`)

// check returns an error if the repository is not ready for a version.
func check(ctx context.Context, repo tree, version string) error {
	if !versions.MatchString(version) {
		return fmt.Errorf("%q is no version of these modules; write it like v0.1.0", version)
	}

	branch, err := repo.git(ctx, "rev-parse", "--abbrev-ref", "HEAD")
	if err != nil {
		return err
	}

	if branch != "main" {
		return fmt.Errorf("the branch is %s; releases are made on main", branch)
	}

	changes, err := repo.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}

	if changes != "" {
		return fmt.Errorf("files are not committed; commit or remove them:\n%s", changes)
	}

	tags, err := repo.git(ctx, "tag", "--list", version, "*/"+version)
	if err != nil {
		return err
	}

	if tags != "" {
		return fmt.Errorf("version %s has tags already: %s; choose the next version", version, strings.Join(strings.Fields(tags), ", "))
	}

	changelog, err := os.ReadFile(filepath.Join(string(repo), "CHANGELOG.md"))
	if err != nil {
		return err
	}

	return checkChangelog(string(changelog), version)
}

// checkChangelog returns an error if a changelog has no dated section for a version.
func checkChangelog(changelog, version string) error {
	heading := "## [" + strings.TrimPrefix(version, "v") + "]"

	if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(heading) + ` - \d{4}-\d{2}-\d{2}$`).MatchString(changelog) {
		return fmt.Errorf("CHANGELOG.md has no line %q with a date, like 2026-01-31; rename the section Unreleased, and begin a new one above it",
			heading+" - date")
	}

	return nil
}

// checkAPI returns an error if the lists of the exported API are out of date. It writes them anew, so it runs in a clone.
func checkAPI(ctx context.Context, clone tree) error {
	if _, err := clone.command(ctx, "", "go", "run", "./internal/apilist"); err != nil {
		return err
	}

	changes, err := clone.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}

	if changes != "" {
		return fmt.Errorf("lists of the API are out of date; run make api, and commit what it writes:\n%s", changes)
	}

	return nil
}

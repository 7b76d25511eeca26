package main

import (
	"context"
	"errors"
	"os"
)

// release makes the commits and tags of a version, and returns the names of the tags in the order in which it made them.
func release(ctx context.Context, root, version string) ([]string, error) {
	repo := tree(root)

	if err := check(ctx, repo, version); err != nil {
		return nil, err
	}

	folder, err := os.MkdirTemp("", "onlyonce-release-")
	if err != nil {
		return nil, err
	}

	defer func() { _ = os.RemoveAll(folder) }()

	clone := tree(folder)
	if err := repo.cloneTo(ctx, clone); err != nil {
		return nil, err
	}

	if err := checkAPI(ctx, clone); err != nil {
		return nil, err
	}

	tags, err := clone.tagVersion(ctx, version)
	if err != nil {
		return nil, err
	}

	return tags, repo.take(ctx, clone, tags)
}

// take adds the commits of main and some tags of a clone, or nothing. The commits are first, because main may have changed since it was
// cloned.
func (t tree) take(ctx context.Context, clone tree, tags []string) error {
	before, err := t.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return err
	}

	if _, err := t.git(ctx, "fetch", "--quiet", "--no-tags", string(clone), "main"); err != nil {
		return err
	}

	if _, err := t.git(ctx, "merge", "--quiet", "--ff-only", "FETCH_HEAD"); err != nil {
		return err
	}

	fetch := []string{"fetch", "--quiet", "--atomic", "--no-tags", string(clone)}
	for _, tag := range tags {
		fetch = append(fetch, "refs/tags/"+tag+":refs/tags/"+tag)
	}

	if _, err := t.git(ctx, fetch...); err != nil {
		_, undone := t.git(context.WithoutCancel(ctx), "reset", "--quiet", "--keep", before)

		return errors.Join(err, undone)
	}

	return nil
}

// cloneTo clones the repository into an empty folder, with the author of its commits.
func (t tree) cloneTo(ctx context.Context, clone tree) error {
	if _, err := t.git(ctx, "clone", "--quiet", ".", string(clone)); err != nil {
		return err
	}

	for _, key := range []string{"user.name", "user.email"} {
		value, err := t.git(ctx, "config", "--default", "", key)
		if err != nil {
			return err
		}

		if value == "" {
			continue // the environment of git names the author
		}

		if _, err := clone.git(ctx, "config", key, value); err != nil {
			return err
		}
	}

	return nil
}

// tagVersion commits the version and tags all published modules.
func (t tree) tagVersion(ctx context.Context, version string) (tags []string, err error) {
	all, err := t.modules(ctx)
	if err != nil {
		return nil, err
	}

	sorted, err := published(all)
	if err != nil {
		return nil, err
	}

	if err := checkReplaced(all); err != nil {
		return nil, err
	}

	for _, m := range all {
		if err := t.setVersion(ctx, m, version); err != nil {
			return nil, err
		}
	}

	// The first version without a nested module changes no file.
	message := "release " + version
	if _, err := t.git(ctx, "commit", "--quiet", "--all", "--allow-empty", "--message", message); err != nil {
		return nil, err
	}

	var programs []module

	for _, m := range sorted {
		if m.program() {
			programs = append(programs, m)

			continue
		}

		if _, err := t.git(ctx, "tag", "--annotate", "--message", message, m.tag(version)); err != nil {
			return nil, err
		}

		tags = append(tags, m.tag(version))
	}

	for _, m := range programs {
		if err := t.tagProgram(ctx, all[0].path, m, version); err != nil {
			return nil, err
		}

		tags = append(tags, m.tag(version))
	}

	return tags, nil
}

// tagProgram tags a commit that is not on main, in which a program can be installed by its path and version.
func (t tree) tagProgram(ctx context.Context, root string, m module, version string) error {
	checksums, err := t.checksums(ctx, root, m.requires, version)
	if err != nil {
		return err
	}

	if _, err := t.git(ctx, "checkout", "--quiet", "--detach", "main"); err != nil {
		return err
	}

	if err := t.standAlone(ctx, m, checksums); err != nil {
		return err
	}

	message := "release " + version + " of " + m.folder
	if _, err := t.git(ctx, "commit", "--quiet", "--all", "--message", message); err != nil {
		return err
	}

	if _, err := t.git(ctx, "tag", "--annotate", "--message", message, m.tag(version)); err != nil {
		return err
	}

	_, err = t.git(ctx, "checkout", "--quiet", "main")

	return err
}

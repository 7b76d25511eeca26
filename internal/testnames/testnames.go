// Package testnames finds the tests of this repository, for the pages that say what they prove.
package testnames

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Links returns a Markdown link to each test below a folder, relative to the docs folder, by the test's name. Tests of
// different packages may have one name.
func Links(root string) (map[string][]string, error) {
	found := make(map[string][]string)
	name := regexp.MustCompile(`(?m)^func (Test\w*)\(t \*testing\.T\)`)

	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}

		if entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}

		source, err := os.ReadFile(path) //nolint:gosec // a file of the repository
		if err != nil {
			return fmt.Errorf("reading tests: %w", err)
		}

		local, err := filepath.Rel(root, path)
		if err != nil {
			return fmt.Errorf("reading tests: %w", err)
		}

		for _, match := range name.FindAllStringSubmatch(string(source), -1) {
			found[match[1]] = append(found[match[1]], fmt.Sprintf("[%s](../%s)", match[1], filepath.ToSlash(local)))
		}

		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for tests: %w", err)
	}

	for _, links := range found {
		slices.Sort(links)
	}

	return found, nil
}

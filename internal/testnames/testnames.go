// Package testnames finds the tests of this repository, for the pages that link to them.
package testnames

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Test is a test function.
type Test struct {
	Name string
	// Link is a Markdown link to the test, relative to the docs folder.
	Link string
	// Source is the source text, from the name up to the next top-level function.
	Source string
}

// All returns the tests below a folder, sorted by file. Tests of different packages may have the same name.
func All(root string) ([]Test, error) {
	var all []Test

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

		local, err := filepath.Rel(root, path)
		if err != nil {
			return fmt.Errorf("naming a test file: %w", err)
		}

		source, err := os.ReadFile(path) //nolint:gosec // a file of the repository
		if err != nil {
			return fmt.Errorf("reading tests: %w", err)
		}

		all = append(all, testsOf(string(source), filepath.ToSlash(local))...)

		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for tests: %w", err)
	}

	return all, nil
}

func testsOf(source, path string) []Test {
	name := regexp.MustCompile(`^(Test\w*)\(t \*testing\.T\)`)

	var found []Test

	for _, function := range strings.Split(source, "\nfunc ")[1:] {
		if match := name.FindStringSubmatch(function); match != nil {
			found = append(found, Test{Name: match[1], Link: fmt.Sprintf("[%s](../%s)", match[1], path), Source: function})
		}
	}

	return found
}

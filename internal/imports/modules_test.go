package imports_test

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// modules returns the folders of all modules, as paths from the root: "/", "/bench".
func modules(t *testing.T) (folders []string) {
	t.Helper()

	err := fs.WalkDir(os.DirFS("../.."), ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != "." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case entry.Name() == "go.mod":
			folders = append(folders, path.Join("/", path.Dir(file)))
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return folders
}

// Lists of modules that tools read name every module.
func TestNoListForgetsAModule(t *testing.T) {
	for file, form := range map[string]string{"go.work": "\t./", ".github/dependabot.yml": "      - /"} {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}

		var listed []string

		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			if line == "\t." {
				line = "\t./"
			}

			if folder, ok := strings.CutPrefix(line, form); ok {
				listed = append(listed, "/"+folder)
			}
		}

		slices.Sort(listed)

		if want := slices.Sorted(slices.Values(modules(t))); !slices.Equal(listed, want) {
			t.Errorf("%s lists %q, the modules are %q", file, listed, want)
		}
	}
}

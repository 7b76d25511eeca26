package recipes_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// most is the number of lines that a reader reads at once.
const most = 100

func TestNoRecipeAndNoTestIsLongerThanAHundredLines(t *testing.T) {
	lines := make(map[string]int) // of the code of a recipe together, and of each of its other files

	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}

		source, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			return err
		}

		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil || ast.IsGenerated(file) {
			return err
		}

		part := filepath.ToSlash(path)
		if !strings.HasSuffix(part, "_test.go") && !strings.HasPrefix(part, "internal/") {
			part, _, _ = strings.Cut(part, "/")
		}

		lines[part] += bytes.Count(source, []byte("\n"))

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	if lines["stripe"] == 0 || lines["stripe/stripe_test.go"] == 0 {
		t.Errorf("counted no lines of a recipe: %v", lines)
	}

	for part, count := range lines {
		if count > most {
			t.Errorf("%s has %d lines, want %d at most", part, count, most)
		}
	}
}

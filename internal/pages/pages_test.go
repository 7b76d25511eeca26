package pages

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// theMap is the page that lists all others of its folder.
const theMap = "docs/README.md"

func TestEveryPageIsOnTheMapOnce(t *testing.T) {
	t.Parallel()

	pages := files(t, ".md")
	listed := links(pages[theMap])

	for name := range pages {
		if path.Dir(name) != "docs" || name == theMap {
			continue
		}

		count := 0

		for _, target := range listed {
			if target == path.Base(name) {
				count++
			}
		}

		if count != 1 {
			t.Errorf("%s has %d links to %s, want 1", theMap, count, path.Base(name))
		}
	}
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()

	pages := files(t, ".md")

	for _, name := range slices.Sorted(maps.Keys(pages)) {
		for _, target := range links(pages[name]) {
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}

			file, anchor, _ := strings.Cut(target, "#")

			local := name
			if file != "" {
				local = path.Join(path.Dir(name), file)
			}

			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(local))); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, target)

				continue
			}

			if page, ok := pages[local]; anchor != "" && ok && !slices.Contains(anchors(page), anchor) {
				t.Errorf("%s links to %s, and %s has no such anchor", name, target, local)
			}
		}
	}
}

func TestAnchorsOfAPageDiffer(t *testing.T) {
	t.Parallel()

	for name, page := range files(t, ".md") {
		names := anchors(page)
		slices.Sort(names)

		for i := range names[min(1, len(names)):] {
			if names[i] == names[i+1] {
				t.Errorf("%s has the anchor %q twice", name, names[i])
			}
		}
	}
}

// uncompiled are pages whose code needs generated code that the repository does not have.
var uncompiled = map[string]string{
	"docs/connect.md": "protoc-gen-connect-go makes paymentsv1connect",
}

// A reader copies code from a page. All of it is in a file that the compiler reads, or it would be wrong some day.
func TestGoCodeOfThePagesIsCompiled(t *testing.T) {
	t.Parallel()

	sources := files(t, ".go")
	for name, source := range sources {
		sources[name] = lines(codeInComments.ReplaceAllString(source, ""))

		if strings.Contains(source, "//go:build ignore") {
			delete(sources, name)
		}
	}

	pages := files(t, ".md")
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if uncompiled[name] != "" {
			continue
		}

		for _, block := range blocks(pages[name], "go") {
			for _, part := range parts(block) {
				if !anyHas(sources, part) {
					t.Errorf("%s has this code, which is in no Go file:\n%s", name, part)
				}
			}
		}
	}
}

func anyHas(sources map[string]string, part string) bool {
	for _, source := range sources {
		if strings.Contains(source, part) {
			return true
		}
	}

	return false
}

func TestMarkdownIsReadAsGitHubReadsIt(t *testing.T) {
	t.Parallel()

	page := "# A `b_c` & D\n\n[x](a.md#b) `[no](c.md)`\n\n```go\n# no\nf()\n…\ng(…)\n```\n\n## E\n\n## E\n\n<a id=\"own\"></a>[y](#e-1)\n"

	if got, want := anchors(page), []string{"a-b_c--d", "e", "e-1", "own"}; !slices.Equal(got, want) {
		t.Errorf("the anchors are %q, want %q", got, want)
	}

	if got, want := links(page), []string{"a.md#b", "#e-1"}; !slices.Equal(got, want) {
		t.Errorf("the links are %q, want %q", got, want)
	}

	code := blocks(page, "go")
	if len(code) != 1 {
		t.Fatalf("the blocks are %q", code)
	}

	if got, want := parts(code[0]), []string{"# no\nf()", "g(", ")"}; !slices.Equal(got, want) {
		t.Errorf("the parts are %q, want %q", got, want)
	}
}

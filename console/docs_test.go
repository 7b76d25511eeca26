package console

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs returns the section of the documentation about this package.
func docs(t *testing.T) string {
	t.Helper()

	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}

	_, section, ok := strings.Cut(string(text), "\n## By console\n")
	if !ok {
		t.Fatal("docs/operating.md has no section about the console")
	}

	section, _, _ = strings.Cut(section, "\n## ")

	return section
}

func TestCodeOfTheDocumentationIsCompiled(t *testing.T) {
	compiled, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}

	trimmed := func(text string) string {
		var lines []string

		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}

		return strings.Join(lines, "\n")
	}

	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(docs(t), -1)
	if len(blocks) == 0 {
		t.Fatal("there is no code")
	}

	for _, block := range blocks {
		if !strings.Contains(trimmed(string(compiled)), trimmed(block[1])) {
			t.Errorf("this is not compiled in example_test.go:\n%s", block[1])
		}
	}
}

func TestPicturesOfTheDocumentationAreSmall(t *testing.T) {
	const most = 300_000

	pictures := regexp.MustCompile(`\]\((images/[^)]+)\)`).FindAllStringSubmatch(docs(t), -1)
	if len(pictures) != 2 {
		t.Fatalf("there are the pictures %q", pictures)
	}

	for _, picture := range pictures {
		if info, err := os.Stat("../docs/" + picture[1]); err != nil || info.Size() > most {
			t.Errorf("%s: %v, or more than %d bytes", picture[1], err, most)
		}
	}
}

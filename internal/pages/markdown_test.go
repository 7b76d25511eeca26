package pages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// root is the folder of the repository.
const root = "../.."

// files returns the texts of all files with an extension, by path from the root. Hidden folders, test data and packages of npm are left
// out.
func files(t *testing.T, extension string) map[string]string {
	t.Helper()

	found := make(map[string]string)

	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != extension:
			return nil
		}

		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading a page: %w", err)
		}

		local, err := filepath.Rel(root, path)
		if err != nil {
			return fmt.Errorf("naming a page: %w", err)
		}

		found[filepath.ToSlash(local)] = string(text)

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return found
}

var (
	fenced         = regexp.MustCompile("(?ms)^[ \t]*```([^\n`]*)\n(.*?\n|)[ \t]*```[ \t]*$")
	code           = regexp.MustCompile("`[^`\n]+`")
	link           = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading        = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *#*$`)
	ownAnchor      = regexp.MustCompile(`<a id="([^"]+)">`)
	codeInComments = regexp.MustCompile(`(?m)^//\t.*$`)
	linkedText     = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// prose returns the text of a page without its blocks of code.
func prose(page string) string { return fenced.ReplaceAllString(page, "") }

// links returns the targets of all links of a page.
func links(page string) []string {
	all := link.FindAllStringSubmatch(code.ReplaceAllString(prose(page), ""), -1)
	targets := make([]string, 0, len(all))

	for _, found := range all {
		targets = append(targets, found[1])
	}

	return targets
}

// anchors returns the names that links to a page may have after a #: those of its headings, as GitHub makes them, and its own.
func anchors(page string) []string {
	var (
		names []string
		seen  = make(map[string]int)
	)

	text := prose(page)

	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		name := slug(found[1])
		if n := seen[name]; n > 0 {
			names = append(names, fmt.Sprintf("%s-%d", name, n))
		} else {
			names = append(names, name)
		}

		seen[name]++
	}

	for _, found := range ownAnchor.FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}

	return names
}

// slug is the anchor of a heading.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, linkedText.ReplaceAllString(heading, "$1"))
}

// blocks returns the blocks of code in a language.
func blocks(page, language string) []string {
	var all []string

	for _, found := range fenced.FindAllStringSubmatch(page, -1) {
		if strings.TrimSpace(found[1]) == language {
			all = append(all, found[2])
		}
	}

	return all
}

// parts splits a block of Go where an ellipsis stands for what the reader knows, such as the handling of an error. The lines are
// trimmed, and empty ones left out.
func parts(block string) []string {
	var all []string

	for part := range strings.SplitSeq(block, "…") {
		if part = lines(strings.TrimSuffix(strings.TrimSpace(part), "//")); part != "" {
			all = append(all, part)
		}
	}

	return all
}

// lines returns the lines of a text, trimmed and without empty ones.
func lines(text string) string {
	var kept []string

	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}

	return strings.Join(kept, "\n")
}

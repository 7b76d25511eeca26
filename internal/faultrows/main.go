// Command faultrows writes docs/faults.md, which lists the tests for each fault. A test belongs to a row if its name, or the name of a
// case, contains the number of the row, as in TestF09LostClaimReplyRunsOnce.
//
//	go run ./internal/faultrows > docs/faults.md
package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/onlyonce-go/onlyonce/internal/testnames"
)

func main() {
	if err := write(os.Stdout, "."); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "faultrows:", err)

		os.Exit(1)
	}
}

const head = `# Faults and their tests

**Who needs this page:** reviewers, and everybody who looks for the test of a promise.

Each row is a promise. H is how often the handler runs, E how often its effect happens. A test names its rows, or one of its
cases does; this page is written by ` + "`go run ./internal/faultrows`" + ` from the tests' names.

| row | fault | what must happen | tests |
| --- | --- | --- | --- |
`

// write writes the page for the tests below a folder.
func write(w io.Writer, root string) error {
	found, err := tests(root)
	if err != nil {
		return err
	}

	var page strings.Builder

	page.WriteString(head)

	for _, r := range rows() {
		proof := found[r.number]

		switch {
		case len(proof) == 0 && r.needs == "":
			return fmt.Errorf("no test has %s in its name: %s", r.number, r.fault)
		case len(proof) == 0:
			proof = []string{"not yet: needs " + r.needs}
		}

		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", r.number, r.fault, r.must, strings.Join(proof, "<br>"))
	}

	_, err = io.WriteString(w, page.String())
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}

	return nil
}

// tests returns the links to the tests of each row.
func tests(root string) (map[string][]string, error) {
	all, err := testnames.All(root)
	if err != nil {
		return nil, fmt.Errorf("reading the tests: %w", err)
	}

	found := make(map[string][]string)
	inName := regexp.MustCompile(`F\d\d`)
	inCase := regexp.MustCompile(`"(F\d\d) `)

	for _, test := range all {
		rows := inName.FindAllString(test.Name, -1)
		for _, match := range inCase.FindAllStringSubmatch(test.Source, -1) {
			rows = append(rows, match[1])
		}

		slices.Sort(rows)

		for _, number := range slices.Compact(rows) {
			found[number] = append(found[number], test.Link)
		}
	}

	return found, nil
}

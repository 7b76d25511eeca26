package wires_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write docs/wires.md")

const pagePath = "../../docs/wires.md"

const pageHead = `# The contract on every wire

The same cases run over real connections on every wire. A cell has what a client sees: a code of gRPC, a status of HTTP, or yes.

` + "`go -C internal/wires test -run TestContract . -args -write`" + ` writes this page, and the test fails if the page is not up to date.

`

// page is docs/wires.md.
func page(found map[string]map[string]cell) string {
	var (
		text  strings.Builder
		notes []string
	)

	text.WriteString(pageHead)
	text.WriteString("| wire | server | client of the test |\n| --- | --- | --- |\n")

	for _, w := range wires() {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", w.name, w.server, w.client)
	}

	for _, section := range contract() {
		fmt.Fprintf(&text, "\n## %s\n\n| |", section.title)

		for _, w := range wires() {
			fmt.Fprintf(&text, " %s |", w.name)
		}

		text.WriteString("\n| --- |" + strings.Repeat(" --- |", len(wires())) + "\n")

		for _, r := range section.rows {
			fmt.Fprintf(&text, "| %s |", r.says)

			for _, w := range wires() {
				c := found[w.name][section.title+r.says]
				if c.note == "" {
					fmt.Fprintf(&text, " %s |", c.text)

					continue
				}

				i := slices.Index(notes, c.note)
				if i < 0 {
					i = len(notes)
					notes = append(notes, c.note)
				}

				fmt.Fprintf(&text, " – [%d](#note-%d) |", i+1, i+1)
			}

			text.WriteString("\n")
		}
	}

	text.WriteString(crossTable())
	text.WriteString("\n## Why a wire does not have a row\n\n")

	for i, note := range notes {
		fmt.Fprintf(&text, "%d. <a id=\"note-%d\"></a>%s\n", i+1, i+1, note)
	}

	return text.String()
}

// checkPage compares the page with what it should be, or writes it.
func checkPage(t *testing.T, want string) {
	t.Helper()

	if *write {
		if err := os.WriteFile(pagePath, []byte(want), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}

		return
	}

	is, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}

	if string(is) != want {
		t.Error("docs/wires.md is not up to date: run go -C internal/wires test -run TestContract . -args -write")
	}
}

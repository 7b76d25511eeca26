// Command guarantees writes docs/guarantees.md: the promises with their tests, the limits, and the results of the model for each rule.
//
//	go run ./internal/guarantees > docs/guarantees.md
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/onlyonce-go/onlyonce/internal/model"
	"github.com/onlyonce-go/onlyonce/internal/testnames"
)

func main() {
	if err := write(os.Stdout, "."); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "guarantees:", err)

		os.Exit(1)
	}
}

const head = `# The guarantees and their proof

**Who needs this page:** everybody who decides whether the kit holds what a service needs, and reviewers.

` + "`go run ./internal/guarantees`" + ` writes this page. [faults.md](faults.md) lists the faults and their tests.

What happens when the outcome of a run is unknown, because its process died, its lease ended, its handler panicked or returned an ambiguous
error? Each method chooses:

| guarantee | after an unknown outcome | for |
| --- | --- | --- |
| ` + "`AtMostOnce`" + ` (default) | the handler never runs again by itself | effects outside of any transaction |
| ` + "`AtLeastOnce`" + ` | the next duplicate runs the handler again | handlers that are idempotent themselves |
| ` + "`ExactlyOnce`" + ` | the next duplicate runs the handler again, and nothing is left of the first run | ` +
	"handlers whose effects are rows in the SQL database that has the records |" + `

## What is promised

| promise | tests that fail when it is broken |
| --- | --- |
`

const notPromisedHead = `
## What is not promised

| not promised | what to do |
| --- | --- |
`

const caveatsHead = `
## What to know

| fact | what to do |
| --- | --- |
`

const modelHead = `
## The model

One transition table decides how a record changes: [store/transition.go](../store/transition.go) and
[store/settle.go](../store/settle.go). The embedded store and [internal/model](../internal/model) call the same functions. The model visits
every order of these events on one record:

- two calls at a time, an operator and a recovery function;
- crashes, pauses, lost replies and late copies of every message;
- the ends of leases and retentions.

These properties hold in every state:

`

const ruleHead = `
` + "`make test`" + ` visits all states of two calls, ` + "`make soak`" + ` of three. These have searches of their own:

- callers who may not see each other's answers
- a recovery function
- days that pass, so that records expire
- a time-ordered key, and a retention that is raised
- an operator who forgets a record

## Each rule is needed

A search without a counterexample proves little unless it can find one. Here, one rule is turned off at a time. The steps are the
shortest counterexample. The tests fail if it does not appear.
`

const outsideHead = `
## Outside the model

The model leaves out what this table lists. Look for the next defect here. Tests show examples, and no test visits every state.

| what | why the model leaves it out | what covers it instead |
| --- | --- | --- |
`

// write writes the page. It looks for tests below root.
func write(w io.Writer, root string) error {
	all, err := testnames.All(root)
	if err != nil {
		return fmt.Errorf("reading the tests: %w", err)
	}

	links := make(testLinks)
	for _, test := range all {
		links[test.Name] = append(links[test.Name], test.Link)
	}

	var page strings.Builder

	page.WriteString(head)

	for _, s := range sentences() {
		proof, err := links.of(s.tests, s.promise)
		if err != nil {
			return err
		}

		fmt.Fprintf(&page, "| <a id=\"%s\"></a>%s | %s |\n", s.id, s.promise, strings.Join(proof, "<br>"))
	}

	writeLimits(&page, notPromisedHead, notPromised())
	writeLimits(&page, caveatsHead, caveats())
	page.WriteString(modelHead)

	for _, property := range model.Properties() {
		fmt.Fprintf(&page, "- %s\n", property)
	}

	page.WriteString(ruleHead)

	for _, rule := range model.Rules() {
		result := model.Check(rule.Config())
		fmt.Fprintf(&page, "\n### %s\n\nThis breaks under %v: %s.\n\n", rule.Fault, rule.Guarantee, result.Broken)

		for i, step := range result.Trace {
			fmt.Fprintf(&page, "%d. %s\n", i+1, step)
		}
	}

	if err := writeOutside(&page, links); err != nil {
		return err
	}

	if _, err := io.WriteString(w, page.String()); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}

	return nil
}

// writeLimits writes a table of limits with a heading.
func writeLimits(page *strings.Builder, head string, all []limit) {
	page.WriteString(head)

	for _, l := range all {
		fmt.Fprintf(page, "| <a id=\"%s\"></a>%s | %s |\n", l.id, l.what, l.todo)
	}
}

// testLinks maps a test name to links.
type testLinks map[string][]string

// of returns the links to tests, which must exist.
func (t testLinks) of(names []string, subject string) ([]string, error) {
	var all []string

	for _, name := range names {
		found := t[name]
		if len(found) == 0 {
			return nil, fmt.Errorf("there is no test %s, which is named for: %s", name, subject)
		}

		all = append(all, found...)
	}

	return all, nil
}

// writeOutside writes the table of the model's gaps.
func writeOutside(page *strings.Builder, links testLinks) error {
	page.WriteString(outsideHead)

	for _, gap := range outside() {
		cover, err := links.of(gap.tests, gap.what)
		if err != nil {
			return err
		}

		if gap.documented != "" {
			cover = append(cover, gap.documented)
		}

		if len(gap.tests) == 0 {
			cover = append([]string{"Nothing, documented here."}, cover...)
		}

		fmt.Fprintf(page, "| %s | %s | %s |\n", gap.what, gap.why, strings.Join(cover, "<br>"))
	}

	return nil
}

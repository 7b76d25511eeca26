// Command guarantees writes docs/guarantees.md: which tests prove the sentences of the README, and what the model says of
// each rule.
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

This page is written by ` + "`go run ./internal/guarantees`" + `.

## The sentences of the README

| promise | tests that fail when it is broken |
| --- | --- |
`

const modelHead = `
## The model

What becomes of a record is decided by one transition table, [store/transition.go](../store/transition.go) and
[store/settle.go](../store/settle.go), which the embedded store calls. [internal/model](../internal/model) drives the same
functions through every order in which calls (two at a time), an operator, the passing of time, crashes, pauses, lost replies
and late copies of every message can meet on one record. These properties hold in every state that can be reached:

`

const ruleHead = `
` + "`make test`" + ` visits all states of two calls, ` + "`make soak`" + ` of three. Within the model the fence is at most 5.

## Each rule is needed

A search that finds nothing proves little unless it can find something. Here one rule is turned off at a time, and this is the
shortest counterexample that appears; the tests demand it.
`

// write writes the page; the tests are looked for below root.
func write(w io.Writer, root string) error {
	all, err := testnames.All(root)
	if err != nil {
		return fmt.Errorf("reading the tests: %w", err)
	}

	links := make(map[string][]string)
	for _, test := range all {
		links[test.Name] = append(links[test.Name], test.Link)
	}

	var page strings.Builder

	page.WriteString(head)

	for _, s := range sentences() {
		var proof []string

		for _, name := range s.tests {
			found := links[name]
			if len(found) == 0 {
				return fmt.Errorf("there is no test %s, which is to prove: %s", name, s.promise)
			}

			proof = append(proof, found...)
		}

		fmt.Fprintf(&page, "| %s | %s |\n", s.promise, strings.Join(proof, "<br>"))
	}

	page.WriteString(modelHead)

	for _, property := range model.Properties() {
		fmt.Fprintf(&page, "- %s\n", property)
	}

	page.WriteString(ruleHead)

	for _, rule := range model.Rules() {
		result := model.Check(rule.Config())
		fmt.Fprintf(&page, "\n### %s\n\nUnder %v, broken: %s.\n\n", rule.Fault, rule.Guarantee, result.Broken)

		for i, step := range result.Trace {
			fmt.Fprintf(&page, "%d. %s\n", i+1, step)
		}
	}

	if _, err := io.WriteString(w, page.String()); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}

	return nil
}

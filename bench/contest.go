package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

// contest is a question and the table that answers it. Its variants are measured in turns.
type contest struct {
	id       string // for -run
	question string
	// lost returns a sentence about what onlyonce loses. It is printed first, if all variants are measured. It may be nil.
	lost func(of func(name string) row) string
	// about explains how the figures are measured.
	about   string
	callers int
	calls   int // per round and variant
	// rounds is how many times the usual number of rounds is measured; 0 is once. Small differences need more rounds.
	rounds int
	// prepare runs before the first round. It may be nil.
	prepare  func() error
	columns  []column
	variants []variant
}

// variant is something that is measured, a row of the table.
type variant struct {
	// way is the compared subject: a protection, a client, a size.
	way string
	// kind is the kind of calls: first calls, replays. Variants of the same kind are compared. It may be empty.
	kind string
	// start prepares a round, unmeasured. It returns the function to measure: the i-th call of the round.
	start func() (func(i int) error, error)
	// finish completes the sample of a round. It may be nil.
	finish func(*sample) error
}

// name is the name of the row.
func (v *variant) name() string {
	if v.kind == "" {
		return v.way
	}

	return v.way + ", " + v.kind
}

// always is the start of a variant that needs no preparation.
func always(call func(i int) error) func() (func(i int) error, error) {
	return func() (func(i int) error, error) { return call, nil }
}

// play measures a contest and prints its table.
func (c *config) play(ctx context.Context, t *contest) error {
	chosen := slices.DeleteFunc(slices.Clone(t.variants), func(v variant) bool { return !c.wants(t.id, v.name()) })
	if len(chosen) == 0 {
		return nil
	}

	began := time.Now()

	if t.prepare != nil {
		if err := t.prepare(); err != nil {
			return fmt.Errorf("%s: %w", t.id, err)
		}
	}

	samples := make(map[string][]sample)

	for round := range c.rounds*max(t.rounds, 1) + 1 {
		for _, i := range rand.Perm(len(chosen)) { //nolint:gosec // no secret: who follows whom must not matter
			v := &chosen[i]

			got, err := t.round(ctx, v)
			if err != nil {
				return fmt.Errorf("%s/%s: %w", t.id, v.name(), err)
			}

			if round > 0 { // the first one warms up
				samples[v.name()] = append(samples[v.name()], got)
			}
		}
	}

	fmt.Fprintf(os.Stderr, "%s: %s\n", t.id, time.Since(began).Round(time.Second/10))
	t.print(chosen, samples, len(chosen) == len(t.variants))

	return nil
}

// round measures a variant once.
func (t *contest) round(ctx context.Context, v *variant) (sample, error) {
	if err := ctx.Err(); err != nil {
		return sample{}, err
	}

	call, err := v.start()
	if err != nil {
		return sample{}, err
	}

	got, err := measure(t.callers, t.calls, call)
	if err == nil && v.finish != nil {
		err = v.finish(&got)
	}

	return got, err
}

// print prints the table. The sentence of lost needs all variants.
func (t *contest) print(variants []variant, samples map[string][]sample, all bool) {
	rows := make([][]string, len(variants))
	byName := make(map[string]row)

	for i := range variants {
		r := row{&variants[i], samples}
		rows[i], byName[r.name()] = []string{r.name()}, r

		for _, column := range t.columns {
			rows[i] = append(rows[i], column.cell(r))
		}
	}

	lost := ""
	if t.lost != nil && all {
		lost = t.lost(func(name string) row { return byName[name] })
	}

	heads := make([]string, 1+len(t.columns)) // there is none above the names
	for i, column := range t.columns {
		heads[1+i] = column.head
	}

	printTable(t.question, []string{lost, t.about}, heads, rows)
}

// printTable prints a table under its question, and paragraphs that may be empty.
func printTable(question string, paragraphs, heads []string, rows [][]string) {
	out := new(strings.Builder)
	fmt.Fprintf(out, "\n## %s\n\n", question)

	for _, text := range paragraphs {
		if text != "" {
			fmt.Fprintf(out, "%s\n\n", text)
		}
	}

	line := func(cells []string) { fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | ")) }

	line(heads)
	line(append([]string{"---"}, slices.Repeat([]string{"---:"}, len(heads)-1)...))

	for _, cells := range rows {
		line(cells)
	}

	fmt.Fprint(os.Stdout, out.String())
}

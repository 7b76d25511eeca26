package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"text/tabwriter"
)

// errNotShown reports that the demonstration has failed.
var errNotShown = errors.New("the demonstration failed")

// show runs the orders over every wire, and prints the results. With the kit it fails unless every order was charged once. Without the kit
// it fails if no order was charged twice.
func (d *demo) show(ctx context.Context, stdout io.Writer) error {
	if _, err := exec.LookPath("curl"); err != nil && d.curls > 0 {
		_, _ = fmt.Fprint(stdout, "curl is not installed, so all customers are Go programs.\n\n")
		d.curls = 0
	}

	d.explain(stdout)

	results := make([]*result, len(wires()))
	errs := make([]error, len(wires()))

	var all sync.WaitGroup

	for i, w := range wires() {
		all.Go(func() { results[i], errs[i] = d.place(ctx, w) })
	}

	all.Wait()

	if err := errors.Join(errs...); err != nil {
		return err
	}

	report(stdout, results)

	return d.judge(results)
}

func (d *demo) explain(w io.Writer) {
	how := "with onlyonce"
	if d.without {
		how = "without onlyonce, with plain retries"
	}

	_, _ = fmt.Fprintf(w, "%d orders over each wire, %s. Each line, from customer to shop and from shop to payments, loses\n"+
		"%.0f %% of the requests and %.0f %% of the replies.", d.requested, how, percent(d.faults.Request), percent(d.faults.Reply))

	if d.curls > 0 {
		_, _ = fmt.Fprintf(w, " Every %dth customer is curl.", d.curls)
	}

	_, _ = fmt.Fprint(w, "\n\n")
}

func percent(probability float64) float64 { return probability * 100 } // per cent

// result is the result of the orders over a wire.
type result struct {
	wire                 string
	requested, answered  int
	charged              int // charges in the provider's book
	doubled, missing     int // orders
	wrong                int // answers with a receipt that is not in the book
	curl                 int // orders from curl
	lostBefore, lostWith int64
	problem              error // the first error of a customer without an answer
}

// report prints a table, and lines for programs.
func report(w io.Writer, results []*result) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight) // the gap between columns

	row := func(name string, cell func(*result) any) {
		_, _ = fmt.Fprint(table, name, "\t")

		for _, r := range results {
			_, _ = fmt.Fprint(table, cell(r), "\t")
		}

		_, _ = fmt.Fprintln(table)
	}

	row("", func(r *result) any { return r.wire })
	row("", func(*result) any { return strings.Repeat("-", len("gateway")) })
	row("orders", func(r *result) any { return r.requested })
	row("by curl", func(r *result) any { return r.curl })
	row("answered", func(r *result) any { return r.answered })
	row("charges in the provider's book", func(r *result) any { return r.charged })
	row("orders charged twice or more", func(r *result) any { return r.doubled })
	row("orders never charged", func(r *result) any { return r.missing })
	row("requests lost", func(r *result) any { return r.lostBefore })
	row("replies lost", func(r *result) any { return r.lostWith })
	_ = table.Flush() // the table is for people

	_, _ = fmt.Fprintln(w)

	for _, r := range results {
		_, _ = fmt.Fprintf(w, "result wire=%s requested=%d charged=%d doubled=%d missing=%d\n",
			r.wire, r.requested, r.charged, r.doubled, r.missing)
	}
}

// judge reports whether the demonstration has succeeded.
func (d *demo) judge(results []*result) error {
	for _, r := range results {
		switch {
		case d.without && r.doubled == 0:
			return fmt.Errorf("%w: over %s, plain retries charged nothing twice, so nothing was shown: try more orders or another seed",
				errNotShown, r.wire)
		case d.without:
		case r.doubled > 0 || r.missing > 0 || r.charged != r.requested:
			return errors.Join(fmt.Errorf("%w: over %s, orders were charged more than once or never", errNotShown, r.wire), r.problem)
		case r.answered != r.requested || r.wrong > 0:
			return errors.Join(fmt.Errorf("%w: over %s, %d orders have no answer and %d the receipt of another charge", errNotShown, r.wire,
				r.requested-r.answered, r.wrong), r.problem)
		}
	}

	return nil
}

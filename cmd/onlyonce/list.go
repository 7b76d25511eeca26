package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/onlyonce-go/onlyonce/operate"
)

// filterFlags are the flags that select records.
type filterFlags struct {
	state  string
	method string
	older  time.Duration
	limit  int
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.state, "state", "unknown", "states to select: unknown, held, abandoned or running, separated by commas")
	flags.StringVar(&f.method, "method", "", `methods to select, as a pattern: * matches any text, as in "/bank.*"`)
	flags.DurationVar(&f.older, "older", 0, "minimum time in the state, such as 5m")
	flags.IntVar(&f.limit, "limit", operate.DefaultLimit, "maximum number of records; the oldest are kept")

	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]cobra.Completion{ // the flag exists
		"unknown\theld or abandoned", "held\tthe server reported an unknown outcome", "abandoned\tthe lease ended without an outcome",
		"running\ta server is working on the call",
	}, cobra.ShellCompDirectiveNoFileComp))
}

func (f *filterFlags) filter() (operate.Filter, error) {
	states, err := operate.ParseStates(f.state)
	if err != nil {
		return operate.Filter{}, usagef("--state: %s", strings.TrimPrefix(err.Error(), "operate: "))
	}

	switch {
	case f.older < 0:
		return operate.Filter{}, usagef("--older is %v: it must not be negative", f.older)
	case f.limit < 0:
		return operate.Filter{}, usagef("--limit is %d: it must not be negative", f.limit)
	default:
		return operate.Filter{States: states, Method: f.method, Older: f.older, Limit: f.limit}, nil
	}
}

func (a *app) listCommand() *cobra.Command {
	var (
		flags   filterFlags
		showKey bool
	)

	cmd := &cobra.Command{
		Use:   "list [STORE_URL]",
		Short: "List records with an unknown outcome",
		Long: `List lists records with an unknown outcome, those of the longest time in their
state first. With --state it also lists running records. Settled records cannot
be listed: show finds them by key or full ID.

The states:
  held       the server has reported that it does not know the outcome
  abandoned  the lease has ended without an outcome, because the server died or
             is slow
  unknown    held or abandoned
  running    a server is working on the call and renews its lease`,
		Example: `  onlyonce list --older 5m
  onlyonce list --state unknown,running --method "/payments.v1.*"
  onlyonce list --json | jq -r '.records[].id'`,
		Args: cobra.MaximumNArgs(1),
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&showKey, "show-key", false, "also print idempotency keys")

	cmd.RunE = does(func(ctx context.Context, args []string) error {
		filter, err := flags.filter()
		if err != nil {
			return err
		}

		if err := a.storeArgument(args); err != nil {
			return err
		}

		return a.list(ctx, filter, showKey)
	})

	return cmd
}

// listView is the JSON form of a list.
type listView struct {
	Records []recordView `json:"records"`
	// Selected counts the selected records, including those beyond the limit.
	Selected   int              `json:"selected"`
	Unreadable []unreadableView `json:"unreadable,omitempty"`
}

type unreadableView struct {
	ID    string `json:"id"`
	Error string `json:"error"`
}

func (a *app) list(ctx context.Context, filter operate.Filter, showKey bool) error {
	engine, done, err := a.engine() //nolint:contextcheck // opening takes none: it is bounded by --timeout
	if err != nil {
		return err
	}
	defer done()

	found, err := operate.List(ctx, engine, filter)
	if err != nil && len(found.Records) == 0 {
		return err
	}

	if a.json {
		v := listView{Records: []recordView{}, Selected: found.Selected}
		for i := range found.Records {
			v.Records = append(v.Records, view(&found.Records[i], showKey))
		}

		for _, u := range found.Unreadable {
			v.Unreadable = append(v.Unreadable, unreadableView{ID: u.ID.String(), Error: a.clean(u.Err.Error())})
		}

		if failed := a.printJSON(v); failed != nil {
			return failed
		}

		return err
	}

	a.printListing(&found, showKey)

	return err
}

func (a *app) printListing(found *operate.Listing, showKey bool) {
	const methodColumn = 3

	t := table{head: []string{"ID", "STATE", "FOR", "METHOD", "CODE"}, wide: methodColumn}
	if showKey {
		t.head = append(t.head, "KEY")
	}

	for i := range found.Records {
		rec := &found.Records[i]
		cells := []string{
			rec.ID.String()[:shortID], string(operate.StateOf(rec)), span(operate.Age(rec)), escaped(rec.Method), escaped(rec.Code),
		}

		if showKey {
			cells = append(cells, escaped(rec.ReadableKey))
		}

		color := plain
		if rec.Unknown {
			color = yellow
		}

		t.add(map[int]string{1: color}, cells...)
	}

	if len(t.rows) > 0 {
		a.printTable(&t)
		a.printf("")
	}

	a.printf("%s", counted(found))

	for _, u := range found.Unreadable {
		a.printf("%s cannot be read: %s", u.ID.String()[:shortID], a.clean(u.Err.Error()))
	}
}

// counted returns the last line of a list.
func counted(found *operate.Listing) string {
	switch n := len(found.Records); {
	case n == 0:
		return "No records."
	case n < found.Selected:
		return fmt.Sprintf("%d of %d records. See one with: onlyonce show ID", n, found.Selected)
	case n == 1:
		return "1 record. See it with: onlyonce show ID"
	default:
		return fmt.Sprintf("%d records. See one with: onlyonce show ID", n)
	}
}

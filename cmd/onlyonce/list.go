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
	flags.StringVar(&f.state, "state", "unknown", "states, such as unknown,running: unknown is held or abandoned")
	flags.StringVar(&f.method, "method", "", `pattern of the method, in which * stands for anything, as in "/bank.*"`)
	flags.DurationVar(&f.older, "older", 0, "only records that have been in their state for so long, such as 5m")
	flags.IntVar(&f.limit, "limit", operate.DefaultLimit, "most records, the oldest first")

	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]cobra.Completion{ // the flag is there
		"unknown\theld or abandoned", "held\tthe owner does not know the outcome", "abandoned\tthe lease has ended before the run",
		"running\ta run goes on under a lease",
	}, cobra.ShellCompDirectiveNoFileComp))
}

func (f *filterFlags) filter() (operate.Filter, error) {
	states, err := operate.ParseStates(f.state)
	if err != nil {
		return operate.Filter{}, usagef("--state: %s", strings.TrimPrefix(err.Error(), "operate: "))
	}

	filter := operate.Filter{States: states, Method: f.method, Older: f.older, Limit: f.limit}
	if err := filter.Validate(); err != nil {
		return filter, usagef("%s", strings.TrimPrefix(err.Error(), "operate: "))
	}

	return filter, nil
}

func (a *app) listCommand() *cobra.Command {
	var (
		flags   filterFlags
		showKey bool
	)

	cmd := &cobra.Command{
		Use:   "list [STORE_URL]",
		Short: "List records that are not settled",
		Long: `List lists records that are not settled, the oldest first: those whose outcome
is unknown, and with --state running those that run under a lease.

A record is held if its owner has reported that it does not know the outcome,
and abandoned if its lease has ended before its run has.`,
		Example: `  onlyonce list --older 5m
  onlyonce list --state unknown,running --method "/payments.v1.*"
  onlyonce list --json | jq -r '.records[].id'`,
		Args: cobra.MaximumNArgs(1),
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&showKey, "show-key", false, "print the keys of callers too")

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

// listView is a list as JSON.
type listView struct {
	Records []recordView `json:"records"`
	// Selected counts the records that the filter selects, also beyond the limit.
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

// counted says how many records a list has.
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

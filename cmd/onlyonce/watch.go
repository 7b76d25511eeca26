package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
)

func (a *app) watchCommand() *cobra.Command {
	var (
		flags    filterFlags
		interval time.Duration
		showKey  bool
	)

	cmd := &cobra.Command{
		Use:   "watch [STORE_URL]",
		Short: "Print records as their outcome becomes unknown or settled",
		Long: `Watch prints the records with an unknown outcome. Then it prints a line whenever
such a record appears, or disappears because it was settled. Ctrl-C ends it.
With --json, each line is a JSON object. list --help explains the states.`,
		Example: `  onlyonce watch
  onlyonce watch --method "/payments.v1.*" --older 1m --json`,
		Args: cobra.MaximumNArgs(1),
	}
	flags.add(cmd)
	cmd.Flags().DurationVar(&interval, "interval", operate.DefaultWatchInterval, "time between two looks at the store")
	cmd.Flags().BoolVar(&showKey, "show-key", false, "also print idempotency keys")

	cmd.RunE = does(func(ctx context.Context, args []string) error {
		filter, err := flags.filter()
		if err != nil {
			return err
		}

		if interval <= 0 {
			return usagef("--interval is %v: it must be positive", interval)
		}

		if err := a.storeArgument(args); err != nil {
			return err
		}

		engine, done, err := a.engine() //nolint:contextcheck // opening takes none: it is bounded by --timeout
		if err != nil {
			return err
		}
		defer done()

		for change := range operate.Watch(ctx, engine, filter, interval) {
			if err := a.printChange(&change, showKey); err != nil {
				return err
			}
		}

		return nil
	})

	return cmd
}

// changeView is the JSON form of a change.
type changeView struct {
	Time   string      `json:"time"`
	Change string      `json:"change"`
	Record *recordView `json:"record,omitempty"`
	Error  string      `json:"error,omitempty"`
}

func (a *app) printChange(c *operate.Change, showKey bool) error {
	now := time.Now()

	if a.json {
		v := changeView{Time: moment(now), Change: string(c.Kind)}
		if c.Err != nil {
			v.Error = a.clean(c.Err.Error())
		}

		if c.Kind != operate.Failed {
			rec := view(&c.Record, showKey)
			v.Record = &rec
		}

		return a.printJSONLine(v)
	}

	at := now.Format(time.TimeOnly)

	switch c.Kind {
	case operate.Failed:
		a.printf("%s %s %s", at, a.paint(red, fmt.Sprintf("%-11s", c.Kind)), a.clean(c.Err.Error()))
	case operate.Appeared:
		a.printf("%s %s %s", at, a.paint(yellow, fmt.Sprintf("%-11s", c.Kind)), line(&c.Record, showKey))
	case operate.Disappeared:
		a.printf("%s %s %s", at, a.paint(green, fmt.Sprintf("%-11s", c.Kind)), after(c))
	}

	return nil
}

// line formats a record on one line.
func line(rec *onlyonce.Record, showKey bool) string {
	text := fmt.Sprintf("%s %s %s", rec.ID.String()[:shortID], operate.StateOf(rec), escaped(rec.Method))
	if rec.Code != "" {
		text += " " + escaped(rec.Code)
	}

	if showKey && rec.ReadableKey != "" {
		text += " " + escaped(rec.ReadableKey)
	}

	return text
}

// after describes the new state of a record that has disappeared.
func after(c *operate.Change) string {
	text := fmt.Sprintf("%s %s %s", c.Before.ID.String()[:shortID], operate.StateOf(&c.Record), escaped(c.Before.Method))
	if c.Err != nil {
		return text + " (it cannot be read)"
	}

	if by := settledText(&c.Record); by != "" {
		text += " by " + by
	}

	return text
}

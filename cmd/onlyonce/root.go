package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	statusOK     = 0
	statusFailed = 1
	statusUsage  = 2
)

// failure is an error of a valid command line.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// errReported matches failures that the output already shows.
var errReported = errors.New("reported")

// usageError is an error of the command line found by a command.
type usageError struct{ text string }

func (u usageError) Error() string { return u.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run executes a command line and returns the exit status.
func run(ctx context.Context, a *app, args []string) int {
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	out := &output{to: a.out, stop: stop}
	a.out = out

	root := a.root() //nolint:contextcheck // the commands get it from ExecuteContextC
	root.SetArgs(args)

	cmd, err := root.ExecuteContextC(ctx)
	if out.err != nil {
		err = failure{out.err}
	}

	if err == nil {
		return statusOK
	}

	status := statusUsage
	if _, ok := errors.AsType[failure](err); ok {
		status = statusFailed
	}

	if _, ok := errors.AsType[usageError](err); ok {
		status = statusUsage
	}

	if !errors.Is(err, errReported) {
		fmt.Fprintln(a.err, a.clean("onlyonce: "+strings.TrimPrefix(oneLine(err.Error()), "onlyonce: ")))
	}

	if status == statusUsage {
		fmt.Fprintf(a.err, "See %s --help.\n", cmd.CommandPath())
	}

	return status
}

// does wraps the function of a command. Its errors become failures.
func does(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := f(cmd.Context(), args); err != nil {
			return failure{err}
		}

		return nil
	}
}

const rootHelp = `Onlyonce shows and settles the idempotency records in a store. It also checks,
measures and plans stores.

A record belongs to one idempotency key. It keeps the state of the call, and
later its outcome. If a server dies in the middle of a call, the outcome is
unknown. Somebody must then settle the record: did the effect happen or not?

Name the store by its URL: in the environment variable ONLYONCE_STORE, in
--store, or as the argument of doctor, list, watch, bench and console.

  redis://user:password@host:6379/0
  redis+cluster://host1:6379?addr=host2:6379
  redis+sentinel://host1:26379?master_name=main
  postgres://user:password@host:5432/database
  mysql://user:password@host:3306/database
  sqlite:PATH

Use rediss:// for Redis with TLS. The file of sqlite: must exist. Command lines
are visible to other users of the machine, so put a URL with a password into
ONLYONCE_STORE.

Exit status: 0 for success, 1 for a failure or an unfit store, 2 for a wrong
command line.`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "onlyonce",
		Short:         "Show and settle idempotency records",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Args:          cobra.NoArgs,
		Example: `  export ONLYONCE_STORE=redis://localhost:6379
  onlyonce doctor
  onlyonce list --older 5m
  onlyonce show 3f2a9c04d1be`,
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 "))
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)

	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVarP(&a.store.url, "store", "s", "", "URL of the store (default $ONLYONCE_STORE)")
	flags.StringVar(&a.store.prefix, "prefix", "", `Redis only: prefix of the keys (default "onlyonce:")`)
	flags.StringVar(&a.store.table, "table", "", `databases only: table with the records (default "onlyonce_records")`)
	flags.DurationVar(&a.store.timeout, "timeout", 5*time.Second, "time limit for one store operation")
	flags.BoolVar(&a.json, "json", false, "print JSON")

	root.AddCommand(
		a.doctorCommand(), a.listCommand(), a.showCommand(), a.resolveCommand(), a.forgetCommand(), a.watchCommand(),
		a.capacityCommand(), a.benchCommand(), a.consoleCommand(),
	)

	_ = root.RegisterFlagCompletionFunc("store", completeStore) // the flag exists

	return root
}

// version returns the version of the module, or "(devel)" if the command was built from a clone.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}

	return "(devel)"
}

func completeStore(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"redis://", "rediss://", "redis+cluster://", "redis+sentinel://", "postgres://", "mysql://", "sqlite:"},
		cobra.ShellCompDirectiveNoSpace
}

// storeArgument accepts the store URL as an argument.
func (a *app) storeArgument(args []string) error {
	if len(args) == 0 {
		return nil
	}

	if a.store.url != "" {
		return usagef("two store URLs: give one, as the argument or in --store")
	}

	a.store.url = args[0]

	return nil
}

func oneOf(words []string) string { return strings.Join(words, ", ") }

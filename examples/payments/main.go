// Command payments is the example of onlyonce: a payment service, its clients, and a faulty network.
//
//	payments demo      pay 1,000 orders over a faulty network, with plain retries and with onlyonce; with -store redis://…
//	                   on several server processes, one of which is killed on the way; with -store sqlite:…, postgres://… or
//	                   mysql://… with the payments in the same database, and servers killed several times
//	payments unknown   kill servers in mid-payment, and let the reconcilers of other servers settle their records
//	payments serve     run the payment service, to try it by hand
//	payments pay       send a single order; with -journal FILE, it finishes what an earlier process has left
//	payments generate  write payment orders for the demo
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9/logging"
)

func main() {
	logging.Disable() // of go-redis: errors have the same information

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)

	stop()
	os.Exit(exitStatus(err))
}

// exitStatus prints an error, and returns the exit status of the program.
func exitStatus(err error) int {
	const failed, wrongUsage = 1, 2

	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return wrongUsage
	default:
		_, _ = fmt.Fprintln(os.Stderr, "payments:", err)

		return failed
	}
}

// command is a subcommand: it reads its flags from args.
type command func(ctx context.Context, args []string, stdout, stderr io.Writer) error

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	commands := map[string]command{
		"demo": demoCommand, "unknown": unknownCommand, "serve": serveCommand, "pay": payCommand, "generate": generateCommand,
		childName: childCommand, // for the demo itself
	}

	if len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		_, _ = fmt.Fprintln(stderr, "payments demo, unknown, serve, pay or generate; payments COMMAND -h shows the flags of a command")

		return flag.ErrHelp
	}

	name := "demo"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}

	chosen, ok := commands[name]
	if !ok {
		return fmt.Errorf("there is no command %q: choose demo, unknown, serve, pay or generate", name)
	}

	return chosen(ctx, args, stdout, stderr)
}

// parse reads flags and refuses what is left over.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)

	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp // the flag package has printed the error
	}

	if flags.NArg() > 0 {
		return fmt.Errorf("%s takes no argument %q: see %s -h", flags.Name(), flags.Arg(0), flags.Name())
	}

	return nil
}

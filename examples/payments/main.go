// Command payments is the example of onlyonce: a payment service, its clients, and a network that loses what networks
// lose.
//
//	payments demo      pay 1,000 orders over a faulty network, with plain retries and with onlyonce
//	payments serve     run the payment service, to try it by hand
//	payments pay       send a single order
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)

	stop()

	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2) // the usual status for wrong usage
	default:
		_, _ = fmt.Fprintln(os.Stderr, "payments:", err)

		os.Exit(1)
	}
}

// command is a subcommand: it reads its flags from args.
type command func(ctx context.Context, args []string, stdout, stderr io.Writer) error

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	commands := map[string]command{"demo": demoCommand, "serve": serveCommand, "pay": payCommand, "generate": generateCommand}

	if len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		_, _ = fmt.Fprintln(stderr, "payments demo, serve, pay or generate; payments COMMAND -h shows the flags of a command")

		return flag.ErrHelp
	}

	name := "demo"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}

	chosen, ok := commands[name]
	if !ok {
		return fmt.Errorf("there is no command %q: choose demo, serve, pay or generate", name)
	}

	return chosen(ctx, args, stdout, stderr)
}

// parse reads flags and refuses what is left over.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)

	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp // the flag package has said what is wrong
	}

	if flags.NArg() > 0 {
		return fmt.Errorf("%s takes no argument %q: see %s -h", flags.Name(), flags.Arg(0), flags.Name())
	}

	return nil
}

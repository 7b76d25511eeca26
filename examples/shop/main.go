// Command shop is the example of onlyonce over HTTP: a shop whose front is net/http pays through net/http, through Connect and through a
// gateway to gRPC, while the network loses requests and replies. Its customers are Go programs and curl.
//
//	shop             place 300 orders over each wire, and count in the provider's book what was charged
//	shop -without    the same without onlyonce: plain retries
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

	"github.com/onlyonce-go/onlyonce/examples/shop/lossy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)

	stop()

	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	d := newDemo()

	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&d.without, "without", false, "without onlyonce, to see what plain retries do")
	flags.IntVar(&d.requested, "orders", d.requested, "how many orders are placed over each wire")
	flags.Uint64Var(&d.seed, "seed", d.seed, "seed of what is lost")

	if err := flags.Parse(args); err != nil {
		return err // the flag package has printed the error
	}

	if flags.NArg() > 0 || d.requested < 1 {
		return errors.New("give no arguments but flags, and at least one order: see shop -h")
	}

	return d.show(ctx, stdout)
}

// demo configures the demonstration.
type demo struct {
	requested int  // orders per wire
	customers int  // concurrent customers
	curls     int  // every n-th order comes from curl; 0 means none
	without   bool // without onlyonce
	seed      uint64
	faults    lossy.Faults // between customer and shop, and between shop and payments
}

func newDemo() *demo {
	return &demo{
		requested: 300, customers: 16, curls: 10, seed: 1, // see the fields
		faults: lossy.Faults{Request: 0.05, Reply: 0.15}, // see the fields
	}
}

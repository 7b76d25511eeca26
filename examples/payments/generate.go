package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
)

// testdata/payments.csv is the output of this command with its defaults.
//
//go:generate sh -c "go run . generate > testdata/payments.csv.new && mv testdata/payments.csv.new testdata/payments.csv"

func generateCommand(_ context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("payments generate", flag.ContinueOnError)
	n := flags.Int("n", 1000, "number of orders") // a default
	seed := flags.Uint64("seed", 2025, "seed")    // a default

	if err := parse(flags, args, stderr); err != nil {
		return err
	}

	if *n < 1 {
		return fmt.Errorf("there are %d orders to write: give at least 1", *n)
	}

	return orders.Generate(stdout, *n, *seed) // names the problem
}

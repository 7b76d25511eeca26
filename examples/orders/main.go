// Command orders is the example of a chain of services. A gateway calls orders, and orders calls payments and inventory. Each service is a
// process with its own database. Every hop is protected by onlyonce.
//
//	orders demo    place 500 orders while all services are killed and restarted at random and the network loses replies,
//	               without and with onlyonce; count in all databases what has happened; draw a picture of it
//
// The packages in ways/ show other ways to be idempotent, and when to choose them. See README.md in this folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/onlyonce-go/onlyonce/examples/orders/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := demo.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)

	stop()

	if err == nil {
		return
	}

	if !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "orders:", err)
	}

	os.Exit(1)
}

// Command clients runs the charge service that the example clients in node/ and python/ call.
//
//	go run ./examples/clients 127.0.0.1:50052
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/onlyonce-go/onlyonce/examples/clients/server"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: clients HOST:PORT")
		os.Exit(2)
	}

	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

func run(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	s, err := server.Start(addr, server.WithKit)
	if err != nil {
		return err
	}

	fmt.Fprintln(os.Stderr, "serving charges on", s.Addr())
	<-ctx.Done()

	return s.Stop()
}

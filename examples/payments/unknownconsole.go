package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/console"
)

// serveConsole serves the console for one person on this machine, and prints its address.
func serveConsole(stdout io.Writer, engine *onlyonce.Engine) (func(), error) {
	pages, err := console.New(console.Options{MaySettle: console.Everybody, MayReveal: console.Everybody},
		console.Store{Name: "demo", Engine: engine})
	if err != nil {
		return nil, err // names the problem
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}

	local := console.NewLocal(pages)
	server := &http.Server{Handler: local, ReadHeaderTimeout: openTime}

	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			_, _ = fmt.Fprintln(stdout, "the console has ended:", err)
		}
	}()

	_, _ = fmt.Fprintf(stdout, "console: %s\n\n", local.URL(listener.Addr().String()))

	return func() { _ = server.Shutdown(context.Background()) }, nil
}

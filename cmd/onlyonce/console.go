package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/onlyonce-go/onlyonce/console"
)

const consoleHelp = `Console serves web pages about the records of one or more stores: running and
unknown records by method, and the history of each record. It prints the
address of the first page. The token in the address works once, for one
browser. Ctrl-C ends the console.

The pages are read-only. --allow-settle lets them settle and forget records:
each change needs a name, a reason and a confirmation, and is refused if the
record has changed. The pages hide keys, requests and answers. --allow-reveal
lets them show these on request.

The connection is not encrypted, so by default only browsers on this machine
can connect. To serve the pages to others, use package console in a server with
TLS and authentication.`

// consoleFlags are the flags of the console.
type consoleFlags struct {
	listen      string
	beyond      bool
	hosts       []string
	settle      bool
	reveal      bool
	by          string
	descriptors string
}

func (a *app) consoleCommand() *cobra.Command {
	var flags consoleFlags

	cmd := &cobra.Command{
		Use:   "console [STORE_URL…]",
		Short: "Show and settle records in a browser",
		Long:  consoleHelp,
		Example: `  onlyonce console redis://localhost:6379
  onlyonce console --allow-settle redis://cache-1:6379 postgres://db-1/orders`,
	}

	set := cmd.Flags()
	set.StringVar(&flags.listen, "listen", "127.0.0.1:0", "address and port to listen on; port 0 chooses a free port")
	set.BoolVar(&flags.settle, "allow-settle", false, "let the pages settle and forget records")
	set.BoolVar(&flags.reveal, "allow-reveal", false, "let the pages show keys, requests and answers")
	set.StringVar(&flags.by, "by", "", "your name, suggested in the forms (default: your user name)")
	set.StringVar(&flags.descriptors, "descriptors", "", "file with the message types, made by buf build -o or protoc -o")
	set.BoolVar(&flags.beyond, "i-know-it-is-not-encrypted", false, "allow a --listen address that other machines can reach")
	set.StringSliceVar(&flags.hosts, "host", nil, "host name that browsers may use, if not that of --listen")
	_ = cmd.MarkFlagFilename("descriptors", "binpb", "pb", "protoset", "desc") // the flag exists

	cmd.RunE = does(func(ctx context.Context, args []string) error { return a.console(ctx, &flags, args) })

	return cmd
}

func (a *app) console(ctx context.Context, flags *consoleFlags, addresses []string) error {
	if err := flags.checkListen(); err != nil {
		return err
	}

	if len(addresses) > 0 && a.store.url != "" {
		return usagef("store URLs in two places: give them as arguments or in --store, not both")
	}

	if len(addresses) == 0 {
		addresses = []string{a.store.url} // the environment may name the store
	}

	opts, err := flags.options()
	if err != nil {
		return err
	}

	opts.Redact = a.clean

	stores, closeAll, err := a.consoleStores(addresses) //nolint:contextcheck // opening takes none: it is bounded by --timeout
	if err != nil {
		return err
	}
	defer closeAll()

	pages, err := console.New(opts, stores...)
	if err != nil {
		return err
	}

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return err
	}

	local := console.NewLocal(pages, flags.hosts...)

	address := listener.Addr().String()
	if len(flags.hosts) > 0 {
		_, port, _ := net.SplitHostPort(address) // the address has a port
		address = net.JoinHostPort(flags.hosts[0], port)
	}

	if err := a.printConsole(local.URL(address)); err != nil {
		return errors.Join(err, listener.Close())
	}

	return serveConsole(ctx, listener, local, pages)
}

// printConsole prints the address of the console.
func (a *app) printConsole(address string) error {
	if a.json {
		return a.printJSONLine(map[string]string{"url": address})
	}

	a.printf("%s", address)
	fmt.Fprintln(a.err, "Open this address in a browser. It works once. Ctrl-C ends the console.")

	return nil
}

// serveConsole serves until the context ends.
func serveConsole(ctx context.Context, listener net.Listener, local *console.Local, pages *console.Handler) error {
	const (
		every   = 10 * time.Second // between two samples
		patient = 5 * time.Second
	)

	ctx, stop := context.WithCancel(ctx)
	server := &http.Server{Handler: local, ReadHeaderTimeout: patient, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 16}
	served := make(chan error, 1)

	go func() {
		defer stop()

		served <- server.Serve(listener)
	}()

	ticks := time.NewTicker(every)
	defer ticks.Stop()

	for ctx.Err() == nil {
		_ = pages.Sample(ctx) // the page shows the error

		select {
		case <-ctx.Done():
		case <-ticks.C:
		}
	}

	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patient)
	defer cancel()

	if err := server.Shutdown(closing); err != nil {
		_ = server.Close() // ends slow requests
	}

	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}

	return nil
}

// checkListen refuses an address that other machines can reach, unless --i-know-it-is-not-encrypted is set.
func (f *consoleFlags) checkListen() error {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return usagef("--listen is %q: use an address and a port, such as 127.0.0.1:8080", f.listen)
	}

	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() || f.beyond {
		return nil
	}

	return usagef("other machines can reach --listen %q, and the connection is not encrypted: "+
		"use a loopback address, or add --i-know-it-is-not-encrypted", f.listen)
}

func (f *consoleFlags) options() (console.Options, error) {
	opts := console.Options{Name: f.by}

	if f.settle {
		opts.MaySettle = console.Everybody
	}

	if f.reveal {
		opts.MayReveal = console.Everybody
	}

	if u, err := user.Current(); err == nil {
		opts.Name = cmp.Or(f.by, u.Username)
	}

	if f.descriptors == "" {
		return opts, nil
	}

	data, err := os.ReadFile(f.descriptors)
	if err != nil {
		return opts, fmt.Errorf("reading the descriptor set: %w", err)
	}

	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		return opts, fmt.Errorf("reading the descriptor set %s: %w", f.descriptors, err)
	}

	types, err := newMessageTypes(set)
	if err != nil {
		return opts, err
	}

	opts.Transport = console.GRPC(types.files)

	return opts, nil
}

// consoleStores opens the stores, with unique names.
func (a *app) consoleStores(addresses []string) (stores []console.Store, closeAll func(), err error) {
	var closes []func()

	closeAll = func() {
		for _, done := range slices.Backward(closes) {
			done()
		}
	}

	for _, address := range addresses {
		a.store.url = address

		engine, done, err := a.engine()
		if err != nil {
			closeAll()

			return nil, nil, err
		}

		closes = append(closes, done)
		name := location(cmp.Or(address, a.env("ONLYONCE_STORE")))

		if slices.ContainsFunc(stores, func(s console.Store) bool { return s.Name == name }) {
			name = fmt.Sprintf("%s (%d)", name, len(stores)+1)
		}

		stores = append(stores, console.Store{Name: name, Engine: engine})
	}

	return stores, closeAll, nil
}

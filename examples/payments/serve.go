package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"

	"google.golang.org/grpc/reflection"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

const defaultAddr = "127.0.0.1:50051"

func serveCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("payments serve", flag.ContinueOnError)
	addr := flags.String("addr", defaultAddr, "address to listen on")
	address := flags.String("store", memory, storeUsage)

	if err := parse(flags, args, stderr); err != nil {
		return err
	}

	service, closeService, err := openService(ctx, *address)
	if err != nil {
		return err
	}
	defer closeService()

	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))

	engine, err := onlyonce.New(service.records, onlyonce.WithObserver(onlyonce.SlogObserver(logger)))
	if err != nil {
		return err // names the problem
	}

	server, err := newServer(engine, named("payments"), service, service.policy...) //nolint:contextcheck // Validate takes none
	if err != nil {
		return err
	}

	reflection.Register(server)

	listener, err := net.Listen("tcp", *addr) //nolint:noctx // there is nothing to cancel
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}

	_, _ = fmt.Fprintf(stdout, "the payment service listens on %s; stop it with Ctrl-C\n", listener.Addr())

	return serveUntil(ctx, listener, server, engine)
}

// service is a payment service and its resources.
type service struct {
	paymentsv1.PaymentServiceServer

	records store.Store
	policy  []interceptor.ServerOption
}

// openService opens the store that a URL names, and the ledger: a table where the store is a database, memory elsewhere.
func openService(ctx context.Context, address string) (*service, func(), error) {
	if !isDatabase(address) {
		// Separates the records from those of other users of the Redis.
		records, closeStore, err := openStore(address, redisstore.WithPrefix("onlyonce-payments:")) //nolint:contextcheck // see there

		return &service{PaymentServiceServer: ledger.NewService(ledger.New(), 0), records: records}, closeStore, err
	}

	db, err := openDatabase(address, false)
	if err != nil {
		return nil, nil, err
	}

	records, err := db.prepare(ctx)
	if err != nil {
		_ = db.Close()

		return nil, nil, err
	}

	return &service{
		PaymentServiceServer: &till{database: db, run: "payments"}, records: records, policy: []interceptor.ServerOption{exactlyOnce()},
	}, func() { _ = db.Close() }, nil
}

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
	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
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
		return err // it says what is wrong
	}

	server, err := newServer(engine, named("payments"), service, service.policy...)
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

// service is a payment service with what it needs.
type service struct {
	paymentsv1.PaymentServiceServer

	records store.Store
	policy  []interceptor.ServerOption
}

// openService opens the store that a URL names, and the ledger: a table where the store is a database, memory elsewhere.
func openService(ctx context.Context, address string) (*service, func(), error) {
	if !isDatabase(address) {
		// Records of this service alone, whoever else uses the Redis.
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

func payCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("payments pay", flag.ContinueOnError)
	addr := flags.String("addr", defaultAddr, "address of the payment service")
	key := flags.String("key", "", "idempotency key; default: one made from the order id")
	id := flags.String("order", "ord-1", "order id")
	payer := flags.String("payer", "customer-001", "account that pays")
	payee := flags.String("payee", "books-07", "account that is paid")
	amount := flags.String("amount", "12.50", "amount")
	currency := flags.String("currency", "EUR", "currency")

	if err := parse(flags, args, stderr); err != nil {
		return err
	}

	order, err := orders.New(*id, *payer, *payee, *amount, *currency)
	if err != nil {
		return err // it says what is wrong
	}

	if *key == "" {
		*key = order.Key()
	}

	return payOnce(ctx, stdout, *addr, *key, order)
}

func payOnce(ctx context.Context, stdout io.Writer, addr, key string, order orders.Order) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()

	client, closeConn, err := connect(addr, func(_ context.Context, a interceptor.Attempt) {
		_, _ = fmt.Fprintf(stdout, "attempt %d: idempotency-status %q, error %v\n", a.Number, a.Status, a.Err)
	})
	if err != nil {
		return err
	}
	defer closeConn()

	resp, err := client.Pay(ctx, request(order), interceptor.WithKey(key))
	if err != nil {
		return fmt.Errorf("paying with key %s: %w (outcome: %v)", key, err, onlyonce.VerdictOf(err))
	}

	_, _ = fmt.Fprintf(stdout, "key %s: payment %s of order %s, charge number %d, balance of %s now %s %s\n",
		key, resp.GetPaymentId(), resp.GetOrderId(), resp.GetChargeNumber(), order.Payer,
		orders.FormatAmount(resp.GetBalanceMinor(), order.Currency), order.Currency)

	return nil
}

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc/reflection"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

const (
	defaultAddr = "127.0.0.1:50051"
	// stopTime is how long calls may go on after the service was asked to stop.
	stopTime = 30 * time.Second
)

func serveCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("payments serve", flag.ContinueOnError)
	addr := flags.String("addr", defaultAddr, "address to listen on")
	address := flags.String("store", "memory:", storeUsage)

	if err := parse(flags, args, stderr); err != nil {
		return err
	}

	records, err := openStore(*address)
	if err != nil {
		return err
	}

	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))

	engine, err := onlyonce.New(records, onlyonce.WithObserver(onlyonce.SlogObserver(logger)))
	if err != nil {
		return err // it says what is wrong
	}

	server, err := newServer(engine, ledger.New(), 0)
	if err != nil {
		return err
	}

	reflection.Register(server)

	listener, err := net.Listen("tcp", *addr) //nolint:noctx // there is nothing to cancel
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}

	_, _ = fmt.Fprintf(stdout, "the payment service listens on %s; stop it with Ctrl-C\n", listener.Addr())

	stopped := make(chan error, 1)

	// On a signal: first no new keyed calls, then no new calls at all, while those that run come to their end.
	go func() {
		<-ctx.Done()

		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()

		err := engine.Drain(bounded)

		server.GracefulStop()

		stopped <- err
	}()

	if err := server.Serve(listener); err != nil {
		return fmt.Errorf("serving: %w", err)
	}

	return <-stopped
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
		return fmt.Errorf("paying with key %s: %w (outcome: %v)", key, err, onlyonce.OutcomeOf(err))
	}

	_, _ = fmt.Fprintf(stdout, "key %s: payment %s of order %s, charge number %d, balance of %s now %s %s\n",
		key, resp.GetPaymentId(), resp.GetOrderId(), resp.GetChargeNumber(), order.Payer,
		orders.FormatAmount(resp.GetBalanceMinor(), order.Currency), order.Currency)

	return nil
}

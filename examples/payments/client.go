package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// connect returns a client whose payments are retried with one key each, since payments.proto says that they need one.
func connect(addr string, observe func(context.Context, interceptor.Attempt)) (paymentsv1.PaymentServiceClient, func(), error) {
	conn, err := dial(addr, interceptor.WithAttemptObserver(observe))
	if err != nil {
		return nil, nil, err
	}

	return paymentsv1.NewPaymentServiceClient(conn), func() { _ = conn.Close() }, nil
}

func dial(addr string, opts ...interceptor.ClientOption) (*grpc.ClientConn, error) {
	dialOpts, err := interceptor.DialOptions(opts...)
	if err != nil {
		return nil, fmt.Errorf("configuring the client: %w", err)
	}

	conn, err := grpc.NewClient(addr, append(dialOpts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}

	return conn, nil
}

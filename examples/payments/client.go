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
	opts, err := interceptor.DialOptions(interceptor.WithAttemptObserver(observe))
	if err != nil {
		return nil, nil, fmt.Errorf("configuring the client: %w", err)
	}

	conn, err := grpc.NewClient(addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting: %w", err)
	}

	return paymentsv1.NewPaymentServiceClient(conn), func() { _ = conn.Close() }, nil
}

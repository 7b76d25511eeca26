package main

import (
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// newServer returns the payment service, with every payment protected by the engine. Without an engine it is the service as
// it would be without onlyonce.
func newServer(engine *onlyonce.Engine, book *ledger.Ledger, work time.Duration) (*grpc.Server, error) {
	var opts []grpc.ServerOption

	if engine != nil {
		// All clients of this example are one party. A real service tells its callers apart, with ScopeFromPeerURI or with
		// what its auth interceptor found.
		protect, err := interceptor.ServerOptions(engine, interceptor.ScopeShared(),
			interceptor.WithMethodPolicy(paymentsv1.PaymentService_Pay_FullMethodName, interceptor.Policy{Key: interceptor.KeyRequired}))
		if err != nil {
			return nil, fmt.Errorf("protecting the server: %w", err)
		}

		opts = protect
	}

	// A broken connection is noticed by its reset; keepalive is for those that vanish without one.
	opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute}))

	server := grpc.NewServer(opts...)
	paymentsv1.RegisterPaymentServiceServer(server, ledger.NewService(book, work))

	return server, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/onlyonce-go/onlyonce"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// newServer returns the payment server. Payments are protected as payments.proto declares. Without an engine, nothing is protected.
func newServer(
	engine *onlyonce.Engine, scope interceptor.Scope, service paymentsv1.PaymentServiceServer, policy ...interceptor.ServerOption,
) (*grpc.Server, error) {
	// A reset shows a broken connection. Keepalive finds connections that vanish without a reset.
	alive := grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute})

	if engine == nil {
		server := grpc.NewServer(alive)
		paymentsv1.RegisterPaymentServiceServer(server, service)
		server.RegisterService(undeclared(), service)

		return server, nil
	}

	protect, err := interceptor.NewServer(engine, scope, policy...)
	if err != nil {
		return nil, fmt.Errorf("protecting the server: %w", err)
	}

	server := grpc.NewServer(append(protect.ServerOptions(), alive)...)
	paymentsv1.RegisterPaymentServiceServer(server, service)

	return server, protect.Validate(server) // reports every problem before serving
}

// undeclaredPay is the Pay method of a service without annotations: clients cannot read from its .proto whether it is protected.
const undeclaredPay = "/payments.undeclared.v1.PaymentService/Pay"

// undeclared is the payment service without annotations.
func undeclared() *grpc.ServiceDesc {
	desc := paymentsv1.PaymentService_ServiceDesc
	desc.ServiceName = "payments.undeclared.v1.PaymentService"

	return &desc
}

// oneParty is the shared scope of all clients of this example. A real service separates its callers, with ScopeFromPeerURI or with the
// result of its auth interceptor.
func oneParty() interceptor.Scope { return interceptor.ScopeShared() }

// named is oneParty for a demo that shares its table of records.
func named(run string) interceptor.Scope {
	return interceptor.ScopeFunc(func(context.Context) (string, error) { return run, nil })
}

// stopTime is the time limit for running calls after a stop.
const stopTime = 2 * time.Minute

// serveUntil serves until ctx ends. Then it refuses new keyed calls, then all new calls, and waits for running calls. The engine may be
// nil.
func serveUntil(ctx context.Context, listener net.Listener, server *grpc.Server, engine *onlyonce.Engine) error {
	stopped := make(chan error, 1)

	go func() {
		<-ctx.Done()

		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()

		var err error
		if engine != nil {
			err = engine.Drain(bounded)
		}

		server.GracefulStop()

		stopped <- err
	}()

	// A server that is stopped before it serves has nothing to end.
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving: %w", err)
	}

	return <-stopped
}

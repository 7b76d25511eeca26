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

// newServer returns a server of the payment service, with every payment protected by the engine as payments.proto says. Without
// an engine it is the service as it would be without onlyonce.
func newServer(
	engine *onlyonce.Engine, scope interceptor.Scope, service paymentsv1.PaymentServiceServer, policy ...interceptor.ServerOption,
) (*grpc.Server, error) {
	// A broken connection is noticed by its reset; keepalive is for those that vanish without one.
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

	return server, protect.Validate(server) // before it serves: each problem with its method
}

// undeclaredPay is the method Pay of a service without annotations: clients cannot read in its .proto whether it is protected.
const undeclaredPay = "/payments.undeclared.v1.PaymentService/Pay"

// undeclared is the payment service under the name of a service without annotations.
func undeclared() *grpc.ServiceDesc {
	desc := paymentsv1.PaymentService_ServiceDesc
	desc.ServiceName = "payments.undeclared.v1.PaymentService"

	return &desc
}

// oneParty is the scope of all clients of this example. A real service tells its callers apart, with ScopeFromPeerURI or with
// what its auth interceptor found.
func oneParty() interceptor.Scope { return interceptor.ScopeShared() }

// named is oneParty for a demo that shares the table of its records with others.
func named(run string) interceptor.Scope {
	return interceptor.ScopeFunc(func(context.Context) (string, error) { return run, nil })
}

// stopTime is how long calls may go on after a server was asked to stop.
const stopTime = 30 * time.Second

// serveUntil serves until ctx ends. Then there are first no new keyed calls, then no new calls at all, while those that run come
// to their end. The engine is nil where there is none.
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

	// A server that is told to stop before it serves has nothing to end.
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving: %w", err)
	}

	return <-stopped
}

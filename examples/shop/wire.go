package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	checkoutv1 "github.com/onlyonce-go/onlyonce/examples/shop/proto/checkout/v1"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// wire is a protocol between the shop and its payment service.
type wire struct {
	name string
	// payments makes the payment service.
	payments func(ctx context.Context, s *stand, without bool, book *provider) (http.Handler, error)
	// payer makes the shop's client.
	payer func(s *stand, without bool, url string) (payFunc, error)
}

func wires() []wire {
	return []wire{
		{"http", paymentsOverHTTP, payOverHTTP},
		{"connect", paymentsOverConnect, payOverConnect},
		{"gateway", paymentsBehindGateway, payOverHTTP},
	}
}

// chargesPath is the path of a charge over net/http and over the gateway.
const chargesPath = "/v1/charges"

// paymentsOverHTTP makes the payment service with net/http.
func paymentsOverHTTP(_ context.Context, _ *stand, without bool, book *provider) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("POST "+chargesPath, answering(http.StatusInternalServerError, func(_ context.Context, o order) (string, error) {
		return book.charge(o.ID), nil
	}))

	if without {
		return mux, nil
	}

	return protect(mux, "POST "+chargesPath, onlyonce.Policy{})
}

// payOverHTTP pays over net/http, or over the gateway. The key is derived from the key of the order.
func payOverHTTP(s *stand, without bool, url string) (payFunc, error) {
	c, err := newClient(without)
	if err != nil {
		return nil, err
	}

	s.closers = append(s.closers, c.close)

	return func(ctx context.Context, o order) (string, error) { return c.post(ctx, url+chargesPath, "", o) }, nil
}

// newProtection makes the server side of the kit for gRPC and Connect.
func newProtection() (*interceptor.Server, error) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		return nil, err
	}

	return interceptor.NewServer(engine, interceptor.ScopeShared())
}

// charges is the payment service for gRPC and Connect. It does not know about keys.
type charges struct {
	checkoutv1.UnimplementedChargeServiceServer

	book *provider
}

// Charge charges the customer of an order.
func (c *charges) Charge(_ context.Context, req *checkoutv1.ChargeRequest) (*checkoutv1.ChargeResponse, error) {
	return &checkoutv1.ChargeResponse{Receipt: c.book.charge(req.GetOrderId())}, nil
}

// paymentsOverConnect makes the payment service with connect-go.
func paymentsOverConnect(_ context.Context, _ *stand, without bool, book *provider) (http.Handler, error) {
	var opts []connect.HandlerOption

	if !without {
		protect, err := newProtection()
		if err != nil {
			return nil, err
		}

		opts = append(opts, connect.WithInterceptors(onceconnect.NewServer(protect)))
	}

	service := &charges{book: book}
	mux := http.NewServeMux()
	mux.Handle(checkoutv1.ChargeService_Charge_FullMethodName, connect.NewUnaryHandler(checkoutv1.ChargeService_Charge_FullMethodName,
		func(ctx context.Context, req *connect.Request[checkoutv1.ChargeRequest]) (*connect.Response[checkoutv1.ChargeResponse], error) {
			resp, err := service.Charge(ctx, req.Msg)
			if err != nil {
				return nil, err
			}

			return connect.NewResponse(resp), nil
		}, opts...))

	return onceconnect.Handler(mux), nil
}

// payOverConnect pays over Connect. The key is derived from the key of the order.
func payOverConnect(s *stand, without bool, url string) (payFunc, error) {
	base := new(http.Transport)
	s.closers = append(s.closers, base.CloseIdleConnections)

	var (
		opts   []connect.ClientOption
		caller = &http.Client{Transport: base}
	)

	if without {
		caller.Transport = plain{base}
	} else {
		kit, err := onceconnect.NewClient(interceptor.WithRetry(retries()))
		if err != nil {
			return nil, err
		}

		opts = append(opts, connect.WithInterceptors(kit))
	}

	client := connect.NewClient[checkoutv1.ChargeRequest, checkoutv1.ChargeResponse](
		caller, url+checkoutv1.ChargeService_Charge_FullMethodName, opts...)

	return func(ctx context.Context, o order) (string, error) {
		resp, err := client.CallUnary(ctx, connect.NewRequest(&checkoutv1.ChargeRequest{OrderId: o.ID, Cents: o.Cents}))
		if err != nil {
			return "", err
		}

		return resp.Msg.GetReceipt(), nil
	}, nil
}

// paymentsBehindGateway makes the payment service with grpc-go behind grpc-gateway.
func paymentsBehindGateway(ctx context.Context, s *stand, without bool, book *provider) (http.Handler, error) {
	var (
		serverOpts []grpc.ServerOption
		muxOpts    []runtime.ServeMuxOption
	)

	if !without {
		protect, err := newProtection()
		if err != nil {
			return nil, err
		}

		serverOpts, muxOpts = protect.ServerOptions(), oncegateway.Options(oncegateway.WithProblems())
	}

	server := grpc.NewServer(serverOpts...)
	checkoutv1.RegisterChargeServiceServer(server, &charges{book: book})

	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}

	served := make(chan struct{})

	go func() {
		defer close(served)

		_ = server.Serve(listener) // ends with Stop
	}()

	s.closers = append(s.closers, func() {
		server.Stop()
		<-served
	})

	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}

	s.closers = append(s.closers, func() { _ = conn.Close() })

	mux := runtime.NewServeMux(muxOpts...)

	return mux, checkoutv1.RegisterChargeServiceHandler(ctx, mux, conn)
}

// Package guide contains code of the docs, so that it is compiled and tested.
package guide

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// NewServer returns the server of the quick start.
func NewServer() (*grpc.Server, *onlyonce.Engine, error) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		return nil, nil, err
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return nil, nil, err
	}

	server := grpc.NewServer(protect.ServerOptions()...)

	return server, engine, nil
}

// Dial returns the client of the quick start.
func Dial(target string, creds credentials.TransportCredentials) (*grpc.ClientConn, error) {
	retries, err := interceptor.DialOptions()
	if err != nil {
		return nil, err
	}

	conn, err := grpc.NewClient(target, append(retries, grpc.WithTransportCredentials(creds))...)

	return conn, err
}

// Pay is a call of the quick start.
func Pay(ctx context.Context, client paymentsv1.PaymentServiceClient, req *paymentsv1.PayRequest) error {
	resp, err := client.Pay(ctx, req, interceptor.WithKey("order-"+req.GetOrderId()))
	if err != nil {
		switch onlyonce.VerdictOf(err) {
		case onlyonce.VerdictFinal: // this answer will not change; a new key is a new operation
		case onlyonce.VerdictNotExecuted: // this call had no effect: try again with the same key
		case onlyonce.VerdictUnknown: // it may have happened: learn the outcome, for example with the same key; never use a new key
		}

		return err
	}

	fmt.Println(resp.GetPaymentId(), resp.GetChargeNumber())

	return nil
}

// Shop is a service whose handler classifies an error.
type Shop struct {
	paymentsv1.UnimplementedPaymentServiceServer

	provider interface {
		Charge(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error)
	}
	limit chan struct{}
}

// Pay is a handler from the docs.
func (s *Shop) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	select {
	case s.limit <- struct{}{}:
		defer func() { <-s.limit }()
	default:
		// Only the handler knows that nothing has happened yet. The key is released.
		return nil, onlyonce.NotExecuted(status.Error(codes.ResourceExhausted, "too many payments at once"))
	}

	return s.provider.Charge(ctx, req)
}

// Handler protects a function that is not a gRPC method.
func Handler(engine *onlyonce.Engine, pay func(ctx context.Context, body []byte) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)

			return
		}

		result, err := engine.Do(r.Context(), onlyonce.Call{
			Scope: "tenant-7", Method: "POST /payments", Key: r.Header.Get("Idempotency-Key"), Request: body,
		}, func(ctx context.Context) ([]byte, error) { return pay(ctx, body) })
		if err != nil {
			http.Error(w, http.StatusText(http.StatusConflict), http.StatusConflict) // the error is for the log

			return
		}

		_, _ = w.Write(result.Body)
	}
}

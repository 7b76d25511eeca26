package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// desk is the payment service with an external payment provider. The provider charges on every request, and outlives the servers.
type desk struct {
	paymentsv1.UnimplementedPaymentServiceServer

	provider paymentsv1.PaymentServiceClient
}

// dialProvider connects to a ledger in another process.
func dialProvider(addr string) (paymentsv1.PaymentServiceClient, func(), error) {
	conn, err := grpc.NewClient("passthrough:"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to the ledger: %w", err)
	}

	return paymentsv1.NewPaymentServiceClient(conn), func() { _ = conn.Close() }, nil
}

// Pay makes the provider charge. The provider refuses a request that arrives after the end of the run. Otherwise a request could be held up
// on the way until a reconciler has found that the payment did not happen, and another run has paid.
func (d *desk) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	if _, ok := onlyonce.RunFromContext(ctx); ok {
		if end, ok := ctx.Deadline(); ok {
			ctx = ledger.WithUntil(ctx, end)
		}
	}

	return d.provider.Pay(ctx, req)
}

// GetPayment queries the provider.
func (d *desk) GetPayment(ctx context.Context, req *paymentsv1.GetPaymentRequest) (*paymentsv1.GetPaymentResponse, error) {
	return d.provider.GetPayment(ctx, req)
}

// recover queries the provider about a payment with an unknown outcome. While the server may be alive, a missing charge may still happen:
// the request may be on its way.
func (d *desk) recover(ctx context.Context, req proto.Message, rec onlyonce.Record) (onlyonce.Finding, error) {
	pay, ok := req.(*paymentsv1.PayRequest)
	if !ok {
		return onlyonce.StillUnknown(), fmt.Errorf("there is no way to recover a %T", req)
	}

	found, err := d.provider.GetPayment(ctx, &paymentsv1.GetPaymentRequest{OrderId: pay.GetOrderId()})

	switch {
	case err != nil:
		return onlyonce.StillUnknown(), fmt.Errorf("asking the ledger: %w", err)
	case len(found.GetPayments()) > 0:
		return interceptor.FindingOf(found.GetPayments()[0], nil)
	case rec.LookedUpAt.Before(rec.OwnerAliveUntil):
		return onlyonce.StillUnknown(), nil
	default:
		return onlyonce.DidNotHappen(), nil
	}
}

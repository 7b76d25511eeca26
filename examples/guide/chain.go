package guide

import (
	"context"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
)

// Orders is a service that calls other services.
type Orders struct {
	payments paymentsv1.PaymentServiceClient
	provider interface {
		Refund(ctx context.Context, key string) error
	}
}

// Place calls another service once for each payment.
func (o *Orders) Place(ctx context.Context, payments []*paymentsv1.PayRequest) error {
	for _, req := range payments {
		resp, err := o.payments.Pay(onlyonce.WithStep(ctx, req.GetOrderId()), req)
		if err != nil {
			return err
		}

		_ = resp
	}

	return nil
}

// Cancel calls a provider that does not use gRPC.
func (o *Orders) Cancel(ctx context.Context) error {
	key, err := onlyonce.DeriveExternal(ctx, "refund")
	if err != nil {
		return err
	}

	return o.provider.Refund(ctx, key)
}

// Daily returns the key of an operation with a business name.
func Daily(day, profile string) (string, error) {
	key, err := onlyonce.KeyFrom("fortune", day, profile, "daily") // fortune-2025-01-15-prf_abc123-daily

	return key, err
}

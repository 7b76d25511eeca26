package classify

import (
	"context"
	"crypto/rand"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
)

// Unclassified is the service before the change.
type Unclassified struct {
	paymentsv1.UnimplementedPaymentServiceServer

	accounts Accounts
	provider Provider
}

// Pay returns INTERNAL for every error.
func (s *Unclassified) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	account, err := s.accounts.Find(ctx, req.GetPayer())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}

	payment, err := s.provider.Charge(ctx, rand.Text(), account, req.GetAmountMinor(), req.GetOrderId())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}

	return &paymentsv1.PayResponse{PaymentId: payment, OrderId: req.GetOrderId()}, nil
}

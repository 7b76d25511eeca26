package classify

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Service is the service with classified errors.
type Service struct {
	paymentsv1.UnimplementedPaymentServiceServer

	accounts Accounts
	provider Provider
}

// Pay classifies each error: may the customer have been charged?
func (s *Service) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	account, err := s.accounts.Find(ctx, req.GetPayer())

	switch {
	case errors.Is(err, ErrNoAccount):
		// Final: every duplicate gets this answer.
		return nil, status.Error(codes.NotFound, "the payer has no account")
	case err != nil:
		// Not executed: the error occurred before any effect, so the key is released.
		return nil, onlyonce.NotExecuted(status.Error(codes.Unavailable, "the accounts cannot be read"))
	}

	key, err := onlyonce.DeriveExternal(ctx, "charge") // the same key in every run of this call
	if err != nil {
		return nil, err
	}

	payment, err := s.provider.Charge(ctx, key, account, req.GetAmountMinor(), req.GetOrderId())

	switch {
	case errors.Is(err, ErrDeclined):
		// Final: the provider has decided.
		return nil, status.Error(codes.FailedPrecondition, "the card was declined")
	case err != nil:
		// Unknown: the customer may have been charged. Recover finds out.
		return nil, status.Error(codes.Unavailable, "the provider did not answer")
	}

	return &paymentsv1.PayResponse{PaymentId: payment, OrderId: req.GetOrderId()}, nil
}

// Recover finds out whether a run whose outcome is unknown has charged the customer.
func (s *Service) Recover(ctx context.Context, req proto.Message, rec onlyonce.Record) (onlyonce.Finding, error) {
	pay, ok := req.(*paymentsv1.PayRequest)
	if !ok {
		return onlyonce.StillUnknown(), nil // the record keeps no request
	}

	payment, found, err := s.provider.Payment(ctx, pay.GetOrderId())

	switch {
	case err != nil:
		return onlyonce.StillUnknown(), err // the next duplicate, or the reconciler, retries
	case found:
		return interceptor.FindingOf(&paymentsv1.PayResponse{PaymentId: payment, OrderId: pay.GetOrderId()}, nil)
	case rec.LookedUpAt.Before(rec.OwnerAliveUntil):
		return onlyonce.StillUnknown(), nil // the owner may be alive, and its charge may still happen
	default:
		return onlyonce.DidNotHappen(), nil
	}
}

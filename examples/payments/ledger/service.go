package ledger

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
)

// Service is a ledger as a gRPC service.
type Service struct {
	paymentsv1.UnimplementedPaymentServiceServer

	ledger *Ledger
	work   time.Duration
}

// NewService returns the gRPC service of a ledger. Work is the duration of a payment.
func NewService(l *Ledger, work time.Duration) *Service { return &Service{ledger: l, work: work} }

// Pay charges the payer. It ignores keys.
func (s *Service) Pay(_ context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	if req.GetOrderId() == "" || req.GetPayer() == "" || req.GetPayee() == "" || req.GetCurrency() == "" {
		return nil, status.Error(codes.InvalidArgument, "order_id, payer, payee and currency must be set")
	}

	if req.GetAmountMinor() <= 0 {
		return nil, status.Errorf(codes.InvalidArgument, "amount_minor is %d and must be positive", req.GetAmountMinor())
	}

	time.Sleep(s.work)

	return answer(s.ledger.Charge(req.GetOrderId(), req.GetPayer(), req.GetPayee(), req.GetAmountMinor(), req.GetCurrency())), nil
}

func answer(p Payment) *paymentsv1.PayResponse {
	return &paymentsv1.PayResponse{PaymentId: p.ID, OrderId: p.OrderID, ChargeNumber: p.Number, BalanceMinor: p.BalanceMinor}
}

// GetPayment lists the charges of an order.
func (s *Service) GetPayment(_ context.Context, req *paymentsv1.GetPaymentRequest) (*paymentsv1.GetPaymentResponse, error) {
	resp := &paymentsv1.GetPaymentResponse{}
	for _, payment := range s.ledger.Payments(req.GetOrderId()) {
		resp.Payments = append(resp.Payments, answer(payment))
	}

	return resp, nil
}

package ledger

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
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

// untilKey is the metadata key of the time, in Unix microseconds, after which a payment is refused.
const untilKey = "pay-until"

// WithUntil makes a payment that arrives after a time fail. Without it, a payment that was held up on the way is charged whenever it
// arrives.
func WithUntil(ctx context.Context, until time.Time) context.Context {
	return metadata.AppendToOutgoingContext(ctx, untilKey, strconv.FormatInt(until.UnixMicro(), 10)) // decimal
}

// untilOf returns the time of WithUntil, or zero.
func untilOf(ctx context.Context) (until time.Time, err error) {
	for _, text := range metadata.ValueFromIncomingContext(ctx, untilKey) {
		micros, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return until, status.Errorf(codes.InvalidArgument, "%s must be a number of microseconds", untilKey)
		}

		until = time.UnixMicro(micros)
	}

	return until, nil
}

// Pay charges the payer. It ignores keys.
func (s *Service) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	if req.GetOrderId() == "" || req.GetPayer() == "" || req.GetPayee() == "" || req.GetCurrency() == "" {
		return nil, status.Error(codes.InvalidArgument, "order_id, payer, payee and currency must be set")
	}

	if req.GetAmountMinor() <= 0 {
		return nil, status.Errorf(codes.InvalidArgument, "amount_minor is %d and must be positive", req.GetAmountMinor())
	}

	until, err := untilOf(ctx)
	if err != nil {
		return nil, err
	}

	time.Sleep(s.work)

	p, ok := s.ledger.Charge(until, req.GetOrderId(), req.GetPayer(), req.GetPayee(), req.GetAmountMinor(), req.GetCurrency())
	if !ok {
		return nil, status.Errorf(codes.DeadlineExceeded, "the payment has arrived after %v", until)
	}

	return answer(p), nil
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

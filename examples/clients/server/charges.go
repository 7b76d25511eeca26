package server

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	chargesv1 "github.com/onlyonce-go/onlyonce/examples/clients/proto/charges/v1"
)

// Test cards. Any other card is charged at once.
const (
	// CardDeclined is refused with FAILED_PRECONDITION, a final error.
	CardDeclined = "declined"
	// CardBroken is charged, and the call ends with INTERNAL: an unknown outcome.
	CardBroken = "broken"
	// CardBusy is not charged. The key is released.
	CardBusy = "busy"
	// CardSlow is charged only after a duplicate of the call has been refused.
	CardSlow = "slow"
	// CardCut is charged. The connection of the first call of its order breaks before the answer is sent.
	CardCut = "cut"
	// CardBrief is for a server without the kit. It is not charged. The answer has the trailers of a server with a retention of one second.
	CardBrief = "brief"
)

// charges is the service.
type charges struct {
	chargesv1.UnimplementedChargeServiceServer

	duplicates *signals // closed when a duplicate of an order's call was refused

	mu       sync.Mutex
	receipts map[string][]string // by order
}

// Charge charges a card at every call.
func (c *charges) Charge(ctx context.Context, req *chargesv1.ChargeRequest) (*chargesv1.ChargeResponse, error) {
	switch req.GetCard() {
	case CardDeclined:
		return nil, status.Error(codes.FailedPrecondition, "the card is declined")
	case CardBusy:
		return nil, onlyonce.NotExecuted(status.Error(codes.ResourceExhausted, "the bank has no time"))
	case CardSlow:
		select {
		case <-c.duplicates.of(req.GetOrder()):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}

	receipt := rand.Text()

	c.mu.Lock()
	c.receipts[req.GetOrder()] = append(c.receipts[req.GetOrder()], receipt)
	c.mu.Unlock()

	if req.GetCard() == CardBroken {
		return nil, status.Error(codes.Internal, "the bank's answer cannot be read")
	}

	return &chargesv1.ChargeResponse{Receipt: receipt}, nil
}

// ListReceipts returns a receipt for each charge of an order.
func (c *charges) ListReceipts(_ context.Context, req *chargesv1.ListReceiptsRequest) (*chargesv1.ListReceiptsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	return &chargesv1.ListReceiptsResponse{Receipts: slices.Clone(c.receipts[req.GetOrder()])}, nil
}

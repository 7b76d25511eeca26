package classify

import (
	"context"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Orders is where a client keeps what became of its orders.
type Orders interface {
	// Close notes the final answer: paid, or refused with an error.
	Close(order string, answer error) error
	// TryLater notes that the order was not paid, and is to be paid under the same key.
	TryLater(order, key string) error
	// Open notes that the order may be paid: somebody has to learn the outcome.
	Open(order, key string) error
}

// Checkout pays an order under a key of its own, and notes what became of it.
func Checkout(ctx context.Context, client paymentsv1.PaymentServiceClient, orders Orders, req *paymentsv1.PayRequest) error {
	order := req.GetOrderId()
	_, err := client.Pay(ctx, req, interceptor.WithKey("order-"+order))

	switch onlyonce.VerdictOf(err) {
	case onlyonce.VerdictFinal: // paid, or refused for good: a new key would be a new payment
		return orders.Close(order, err)
	case onlyonce.VerdictNotExecuted: // this call had no effect: try the same key again
		return orders.TryLater(order, interceptor.KeyOf(err))
	case onlyonce.VerdictUnknown: // it may have been paid: try the same key later, and never another one
		return orders.Open(order, interceptor.KeyOf(err))
	}

	return err
}

package classify

import (
	"context"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Orders is where a client stores the results of its orders.
type Orders interface {
	// Close stores the final answer: paid, or refused with an error.
	Close(order string, answer error) error
	// TryLater stores that the order was not paid. Pay it later with the same key.
	TryLater(order, key string) error
	// Open stores that the order may have been paid. Find out the outcome.
	Open(order, key string) error
}

// Checkout pays an order with a new key, and stores the result.
func Checkout(ctx context.Context, client paymentsv1.PaymentServiceClient, orders Orders, req *paymentsv1.PayRequest) error {
	order := req.GetOrderId()
	_, err := client.Pay(ctx, req, interceptor.WithKey("order-"+order))

	switch onlyonce.VerdictOf(err) {
	case onlyonce.VerdictFinal: // paid, or refused for good: a new key would be a new payment
		return orders.Close(order, err)
	case onlyonce.VerdictNotExecuted: // this call had no effect: try the same key again
		return orders.TryLater(order, interceptor.KeyOf(err))
	case onlyonce.VerdictUnknown: // it may have been paid: retry later with the same key, never with a new key
		return orders.Open(order, interceptor.KeyOf(err))
	}

	return err
}

// Package gateway is the service for customers. It places an order and writes the checkout, which commits together with the record of the
// call. Customers send the name of their cart as the key, so pressing the button twice is one checkout.
package gateway

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// attempt is the time limit for the orders service.
const attempt = 1500 * time.Millisecond

const table = "CREATE TABLE IF NOT EXISTS checkouts (order_id VARCHAR(64) NOT NULL, customer VARCHAR(64) NOT NULL, " +
	"payment_id VARCHAR(64) NOT NULL)"

// Definition is the service.
func Definition() service.Definition {
	calls := []string{shopv1.OrderService_Place_FullMethodName}

	return service.Definition{Tables: []string{table}, Calls: calls, Register: func(s *service.Service) error {
		orders, err := s.Dial(service.Orders, attempt)
		if err != nil {
			return err
		}

		shopv1.RegisterGatewayServiceServer(s.Server, &server{Service: s, orders: shopv1.NewOrderServiceClient(orders)})

		return nil
	}}
}

type server struct {
	shopv1.UnimplementedGatewayServiceServer
	*service.Service

	orders shopv1.OrderServiceClient
}

// Checkout implements the service.
func (s *server) Checkout(ctx context.Context, req *shopv1.CheckoutRequest) (*shopv1.CheckoutResponse, error) {
	placed, err := s.orders.Place(ctx, &shopv1.PlaceRequest{OrderId: req.GetOrderId(), Customer: req.GetCustomer(), Lines: req.GetLines()})
	if err != nil {
		return nil, err // a gRPC status
	}

	return sqlstore.InTx(s.Joining(ctx), s.DB, nil, func(ctx context.Context, tx *sql.Tx) (*shopv1.CheckoutResponse, error) {
		if _, err := tx.ExecContext(ctx, "INSERT INTO checkouts (order_id, customer, payment_id) VALUES ($1, $2, $3)",
			req.GetOrderId(), req.GetCustomer(), placed.GetPaymentId()); err != nil {
			return nil, fmt.Errorf("writing the checkout: %w", err)
		}

		return &shopv1.CheckoutResponse{OrderId: req.GetOrderId(), PaymentId: placed.GetPaymentId()}, nil
	})
}

// Package payments charges customers. It does not detect duplicates, and it makes the ID of a payment during the call, as most providers
// do. The key of the call prevents a second charge.
package payments

import (
	"context"
	"crypto/rand"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

const table = "CREATE TABLE IF NOT EXISTS payments (id VARCHAR(64) NOT NULL, order_id VARCHAR(64) NOT NULL, " +
	"customer VARCHAR(64) NOT NULL, cents BIGINT NOT NULL)"

// Definition is the service.
func Definition() service.Definition {
	return service.Definition{Tables: []string{table}, Register: func(s *service.Service) error {
		shopv1.RegisterChargeServiceServer(s.Server, &server{Service: s})

		return nil
	}}
}

type server struct {
	shopv1.UnimplementedChargeServiceServer
	*service.Service
}

// Charge implements the service, in the transaction of its record.
func (s *server) Charge(ctx context.Context, req *shopv1.ChargeRequest) (*shopv1.ChargeResponse, error) {
	if req.GetOrderId() == "" || req.GetCustomer() == "" || req.GetAmountMinor() <= 0 {
		return nil, status.Error(codes.InvalidArgument, "order_id and customer must be set, amount_minor must be positive")
	}

	id := "pay-" + rand.Text()

	err := s.InTx(ctx, func(tx sqlstore.DBTX) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO payments (id, order_id, customer, cents) VALUES ($1, $2, $3, $4)",
			id, req.GetOrderId(), req.GetCustomer(), req.GetAmountMinor())

		return err
	})
	if err != nil {
		return nil, fmt.Errorf("charging: %w", err)
	}

	return &shopv1.ChargeResponse{PaymentId: id}, nil
}

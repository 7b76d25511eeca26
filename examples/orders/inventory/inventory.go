// Package inventory takes items from the stock. A conditional update prevents two orders from taking the same piece. The key of the call
// prevents one order from taking a piece twice.
package inventory

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/examples/orders/ways/version"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The initial stock.
const (
	// Items is the number of different items.
	Items = 20
	// Pieces is the number of pieces of each item.
	Pieces = 100_000
)

// SKU returns the name of item i, from 0.
func SKU(i int) string { return fmt.Sprintf("sku-%02d", i%Items) }

const movements = "CREATE TABLE IF NOT EXISTS movements (order_id VARCHAR(64) NOT NULL, line INTEGER NOT NULL, " +
	"sku VARCHAR(64) NOT NULL, pieces BIGINT NOT NULL)"

// Definition is the service.
func Definition() service.Definition {
	tables := append(make([]string, 0, 2+Items), version.Schema, movements)

	for i := range Items {
		tables = append(tables,
			fmt.Sprintf("INSERT INTO stock (sku, pieces, version) VALUES ('%s', %d, 1) ON CONFLICT DO NOTHING", SKU(i), Pieces))
	}

	return service.Definition{Tables: tables, Register: func(s *service.Service) error {
		shopv1.RegisterInventoryServiceServer(s.Server, &server{Service: s})

		return nil
	}}
}

type server struct {
	shopv1.UnimplementedInventoryServiceServer
	*service.Service
}

// Withdraw implements the service, in the transaction of its record.
func (s *server) Withdraw(ctx context.Context, req *shopv1.WithdrawRequest) (*shopv1.WithdrawResponse, error) {
	if req.GetOrderId() == "" || req.GetLine() < 1 || req.GetQuantity() <= 0 {
		return nil, status.Error(codes.InvalidArgument, "order_id, line and quantity must be set")
	}

	var left int64

	err := s.InTx(ctx, func(tx sqlstore.DBTX) (err error) {
		if left, err = version.Take(ctx, tx, req.GetSku(), req.GetQuantity()); err != nil {
			return err
		}

		_, err = tx.ExecContext(ctx, "INSERT INTO movements (order_id, line, sku, pieces) VALUES ($1, $2, $3, $4)",
			req.GetOrderId(), req.GetLine(), req.GetSku(), req.GetQuantity())

		return err
	})

	switch {
	case errors.Is(err, version.ErrSoldOut):
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	case err != nil:
		return nil, fmt.Errorf("withdrawing: %w", err)
	default:
		return &shopv1.WithdrawResponse{Left: left}, nil
	}
}

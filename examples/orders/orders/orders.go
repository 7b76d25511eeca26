// Package orders takes orders. It creates an order, charges the customer, takes the lines from the stock, and marks the order as paid. If
// the process is killed between two steps, the next run repeats all of them. The repeat is harmless: creating returns the existing order,
// state changes accept a repeat, and calls to other services have the same keys.
package orders

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/examples/orders/ways/existing"
	"github.com/onlyonce-go/onlyonce/examples/orders/ways/transition"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// attempt is the time limit for payments and inventory, which only run a transaction.
const attempt = 500 * time.Millisecond

// Definition is the service.
func Definition() service.Definition {
	calls := []string{shopv1.ChargeService_Charge_FullMethodName, shopv1.InventoryService_Withdraw_FullMethodName}

	return service.Definition{Tables: []string{existing.Schema}, Calls: calls, Register: func(s *service.Service) error {
		payments, err := s.Dial(service.Payments, attempt)
		if err != nil {
			return err
		}

		inventory, err := s.Dial(service.Inventory, attempt)
		if err != nil {
			return err
		}

		shopv1.RegisterOrderServiceServer(s.Server, &server{
			Service: s, payments: shopv1.NewChargeServiceClient(payments), inventory: shopv1.NewInventoryServiceClient(inventory),
		})

		return nil
	}}
}

type server struct {
	shopv1.UnimplementedOrderServiceServer
	*service.Service

	payments  shopv1.ChargeServiceClient
	inventory shopv1.InventoryServiceClient
}

// Place implements the service.
func (s *server) Place(ctx context.Context, req *shopv1.PlaceRequest) (*shopv1.PlaceResponse, error) {
	s.At(service.HookClaimed)

	cents, err := s.price(req)
	if err != nil {
		return nil, err
	}

	if err := s.begin(ctx, req, cents); err != nil {
		return nil, err
	}

	// The following calls have keys derived from the key of this call, so a repeated run uses the same keys.
	paid, err := s.payments.Charge(ctx, &shopv1.ChargeRequest{OrderId: req.GetOrderId(), Customer: req.GetCustomer(), AmountMinor: cents})
	if err != nil {
		return nil, err // a gRPC status
	}

	s.At(service.HookCharged)

	for i, line := range req.GetLines() {
		number := int32(i + 1)

		// Several calls of one method need a step name each.
		_, err := s.inventory.Withdraw(onlyonce.WithStep(ctx, fmt.Sprint("line-", number)), &shopv1.WithdrawRequest{
			OrderId: req.GetOrderId(), Line: number, Sku: line.GetSku(), Quantity: line.GetQuantity(),
		})
		if err != nil {
			// If a line is sold out now, the refusal is final, although the customer has paid. Keys do not undo effects. A real shop reserves before
			// it charges, or refunds here in a separate step.
			return nil, err // a gRPC status
		}
	}

	s.At(service.HookWithdrawn)

	resp, err := s.finish(ctx, req.GetOrderId(), paid.GetPaymentId())
	if err == nil {
		s.At(service.HookCommitted)
	}

	return resp, err
}

// price returns the price of an order.
func (s *server) price(req *shopv1.PlaceRequest) (cents int64, _ error) {
	if req.GetOrderId() == "" || req.GetCustomer() == "" || len(req.GetLines()) == 0 {
		return 0, status.Error(codes.InvalidArgument, "order_id, customer and lines must be set")
	}

	for _, line := range req.GetLines() {
		if line.GetQuantity() <= 0 {
			return 0, status.Errorf(codes.InvalidArgument, "the quantity of %s is %d and must be positive", line.GetSku(), line.GetQuantity())
		}

		cents += line.GetQuantity() * s.CentsPerPiece
	}

	return cents, nil
}

// begin creates the order, or returns the order of an earlier run.
func (s *server) begin(ctx context.Context, req *shopv1.PlaceRequest, cents int64) error {
	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // fails after the commit

	_, _, err = existing.Create(ctx, tx, existing.Order{
		ID: req.GetOrderId(), Customer: req.GetCustomer(), Cents: cents, State: string(transition.Created),
	})

	switch {
	case errors.Is(err, existing.ErrDiffers):
		return status.Error(codes.AlreadyExists, err.Error())
	case err != nil:
		return err
	}

	if _, err := transition.Advance(ctx, tx, req.GetOrderId(), transition.PendingPayment); err != nil {
		return err
	}

	return tx.Commit()
}

// finish marks the order as paid, in one commit with the record of the call.
func (s *server) finish(ctx context.Context, id, payment string) (*shopv1.PlaceResponse, error) {
	return sqlstore.InTx(s.Joining(ctx), s.DB, nil, func(ctx context.Context, tx *sql.Tx) (*shopv1.PlaceResponse, error) {
		if _, err := transition.Advance(ctx, tx, id, transition.Paid); err != nil {
			return nil, err
		}

		if _, err := tx.ExecContext(ctx, "UPDATE orders SET payment_id = $1 WHERE id = $2", payment, id); err != nil {
			return nil, fmt.Errorf("marking the order as paid: %w", err)
		}

		return &shopv1.PlaceResponse{PaymentId: payment, State: string(transition.Paid)}, nil
	})
}

// Package unique lets the database refuse a second row with a business identifier, such as a payment ID, or a user and a coupon code.
//
// Choose it if the business has such an identifier before the call, the identifier is the same in every repeat, and the row is the effect.
// It is the strongest way: it needs no cooperation, never expires, and covers every program that writes to the table.
//
//   - It does not help if the identifier is made during the call, as most providers do.
//   - It protects other rows only if they are written in the same transaction.
//   - The handler must turn the error of the second insert into an answer, made from the row.
package unique

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// The statements that create the tables.
const (
	PaymentsSchema = "CREATE TABLE IF NOT EXISTS payments (id VARCHAR(64) PRIMARY KEY, order_id VARCHAR(64) NOT NULL, cents BIGINT NOT NULL)"
	CouponsSchema  = "CREATE TABLE IF NOT EXISTS coupons (customer VARCHAR(64), code VARCHAR(64), order_id VARCHAR(64) NOT NULL, " +
		"PRIMARY KEY (customer, code))"
)

// ErrTaken matches errors about an identifier that is used for something else.
var ErrTaken = errors.New("unique: it is taken")

// DB is a database with the tables, or a transaction there.
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Payment is a payment with an ID chosen by the caller.
type Payment struct {
	ID, OrderID string
	Cents       int64
}

// Pay writes a payment. Made is false if the same payment exists. The error is ErrTaken if the ID belongs to another payment.
func Pay(ctx context.Context, db DB, p Payment) (made bool, err error) {
	made, err = insert(ctx, db, "INSERT INTO payments (id, order_id, cents) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		p.ID, p.OrderID, p.Cents)
	if made || err != nil {
		return made, err
	}

	before := Payment{ID: p.ID}

	row := db.QueryRowContext(ctx, "SELECT order_id, cents FROM payments WHERE id = $1", p.ID)
	if err := row.Scan(&before.OrderID, &before.Cents); err != nil {
		return false, fmt.Errorf("unique: reading payment %s: %w", p.ID, err)
	}

	if before != p {
		return false, fmt.Errorf("%w: payment %s is %d cents for order %s", ErrTaken, p.ID, before.Cents, before.OrderID)
	}

	return false, nil
}

// Redeem redeems a coupon for an order. Each customer redeems a code once. A repeat for the same order is accepted; another order gets
// ErrTaken.
func Redeem(ctx context.Context, db DB, customer, code, orderID string) error {
	redeemed, err := insert(ctx, db, "INSERT INTO coupons (customer, code, order_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		customer, code, orderID)
	if redeemed || err != nil {
		return err
	}

	var before string

	row := db.QueryRowContext(ctx, "SELECT order_id FROM coupons WHERE customer = $1 AND code = $2", customer, code)
	if err := row.Scan(&before); err != nil {
		return fmt.Errorf("unique: reading coupon %s: %w", code, err)
	}

	if before != orderID {
		return fmt.Errorf("%w: %s has redeemed %s for order %s", ErrTaken, customer, code, before)
	}

	return nil
}

// insert reports whether the statement has inserted a row.
func insert(ctx context.Context, db DB, query string, args ...any) (bool, error) {
	res, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return false, fmt.Errorf("unique: inserting: %w", err)
	}

	n, err := res.RowsAffected()

	return n == 1, err
}

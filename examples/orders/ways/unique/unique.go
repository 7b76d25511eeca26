// Package unique lets the database refuse a second row with an identifier that the business has made: the id of a payment, a coupon
// for each user and code.
//
// Choose it where the business has such an identifier, known before the call and the same in every repeat, and where the effect is
// that very row. It is the strongest of the ways, since it needs nobody's cooperation, never expires, and holds against every program
// that writes there. It is no help where an identifier is made during the call, as most providers make theirs; the rows beside it
// are protected only if they are written in the same transaction; and whoever calls again has to be told "it is done" instead of an
// error, with an answer that is made anew from the row.
package unique

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// The tables.
const (
	PaymentsSchema = "CREATE TABLE IF NOT EXISTS payments (id VARCHAR(64) PRIMARY KEY, order_id VARCHAR(64) NOT NULL, cents BIGINT NOT NULL)"
	CouponsSchema  = "CREATE TABLE IF NOT EXISTS coupons (customer VARCHAR(64), code VARCHAR(64), order_id VARCHAR(64) NOT NULL, " +
		"PRIMARY KEY (customer, code))"
)

// ErrTaken is matched by errors about an identifier that stands for something else.
var ErrTaken = errors.New("unique: it is taken")

// DB is a database with the tables, or a transaction there.
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Payment is a payment under an id that its caller has chosen.
type Payment struct {
	ID, OrderID string
	Cents       int64
}

// Pay writes a payment. It reports false where the same payment has been made before; another one under its id is ErrTaken.
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

// Redeem redeems a coupon for an order. Each customer redeems a code once: a second order gets ErrTaken, a repeat for the same one is
// accepted.
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

// insert reports whether there is a new row.
func insert(ctx context.Context, db DB, query string, args ...any) (bool, error) {
	res, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return false, fmt.Errorf("unique: inserting: %w", err)
	}

	n, err := res.RowsAffected()

	return n == 1, err
}

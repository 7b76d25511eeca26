// Package existing returns the existing resource instead of creating it again.
//
// Choose it for calls that create something with a name known to the caller, such as the order of a cart. "Create" then means "make sure
// that it exists", and a repeat returns the resource as it is now.
//
//   - The caller must choose the name: see https://google.aip.dev/133.
//   - The service must compare the request with the existing resource. Another resource with the same name is an error.
//   - Like a unique identifier, it protects only the row. The caller cannot know whether effects beside the row have happened.
package existing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Schema creates the table. Package transition defines the states.
const Schema = "CREATE TABLE IF NOT EXISTS orders (id VARCHAR(64) PRIMARY KEY, customer VARCHAR(64) NOT NULL, cents BIGINT NOT NULL, " +
	"state VARCHAR(32) NOT NULL, payment_id VARCHAR(64) NOT NULL)"

// ErrDiffers matches errors about a different order with the same name.
var ErrDiffers = errors.New("existing: there is another order of that name")

// DB is a database with the table, or a transaction there.
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Order is an order.
type Order struct {
	ID, Customer string
	Cents        int64
	// State and PaymentID are the current state of the order.
	State, PaymentID string
}

// Create creates an order in its first state, or returns the existing order. Created reports which of the two.
func Create(ctx context.Context, db DB, o Order) (found Order, created bool, err error) {
	res, err := db.ExecContext(ctx,
		"INSERT INTO orders (id, customer, cents, state, payment_id) VALUES ($1, $2, $3, $4, '') ON CONFLICT DO NOTHING",
		o.ID, o.Customer, o.Cents, o.State)
	if err != nil {
		return Order{}, false, fmt.Errorf("existing: creating order %s: %w", o.ID, err)
	}

	n, err := res.RowsAffected()
	if err != nil {
		return Order{}, false, fmt.Errorf("existing: creating order %s: %w", o.ID, err)
	}

	found = Order{ID: o.ID}

	row := db.QueryRowContext(ctx, "SELECT customer, cents, state, payment_id FROM orders WHERE id = $1", o.ID)
	if err := row.Scan(&found.Customer, &found.Cents, &found.State, &found.PaymentID); err != nil {
		return Order{}, false, fmt.Errorf("existing: reading order %s: %w", o.ID, err)
	}

	if found.Customer != o.Customer || found.Cents != o.Cents {
		return found, false, fmt.Errorf("%w: %s is of %s, for %d cents", ErrDiffers, o.ID, found.Customer, found.Cents)
	}

	return found, n == 1, nil
}

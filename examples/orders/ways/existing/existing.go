// Package existing returns the resource that is there instead of creating it again.
//
// Choose it for calls that create something under a name that their caller knows, such as the order of a cart or the account of a
// user: "create" then means "there is one from now on", and whoever asks again gets it, as it has become meanwhile. It needs a name
// from the caller, and a comparison with what was asked for, since another resource under the same name is a mistake that must not
// look like success. Like a unique identifier it protects the row, and nothing that is done beside it: the caller cannot know
// whether that has happened, too. See https://google.aip.dev/133 for names that callers choose.
package existing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Schema makes the table. The state is that of package transition.
const Schema = "CREATE TABLE IF NOT EXISTS orders (id VARCHAR(64) PRIMARY KEY, customer VARCHAR(64) NOT NULL, cents BIGINT NOT NULL, " +
	"state VARCHAR(32) NOT NULL, payment_id VARCHAR(64) NOT NULL)"

// ErrDiffers is matched by errors about an order of the same name that is another one.
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
	// State and PaymentID are what has become of it.
	State, PaymentID string
}

// Create makes an order in its first state, or returns the one that there is. It reports which of the two.
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

// Package transition moves an order from state to state, and accepts the repeat of a move.
//
//	CREATED ──► PENDING_PAYMENT ──► PAID ──► SHIPPED ──► DELIVERED
//	   └───────────────┴──────────────┴──────────────────► CANCELLED
//
// Choose it where the operation is to bring something into a state, and the state alone says whether that has happened: paid,
// shipped, cancelled. Nothing has to be kept beside the row, for no limited time, and it works whoever repeats the move and
// however late. It does not help where the operation adds something each time, such as a charge or a withdrawal from the stock, and
// it says nothing about effects elsewhere: whoever ships an order twice finds it shipped both times. The answer of a repeat is "it is
// so", not the answer of the first call.
package transition

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// State is the state of an order.
type State string

// The states.
const (
	Created        State = "CREATED"
	PendingPayment State = "PENDING_PAYMENT"
	Paid           State = "PAID"
	Shipped        State = "SHIPPED"
	Delivered      State = "DELIVERED"
	Cancelled      State = "CANCELLED"
)

// rank is the place of a state on the way to the customer. Cancelled has none.
func (s State) rank() int {
	switch s {
	case Created:
		return 1
	case PendingPayment:
		return 2
	case Paid:
		return 3
	case Shipped:
		return 4
	case Delivered:
		return 5
	case Cancelled:
		return 0
	default:
		return 0
	}
}

// leadsTo reports whether an order may go from a state to another one.
func (s State) leadsTo(to State) bool {
	if to == Cancelled {
		return s != Cancelled && s.rank() < Shipped.rank()
	}

	return s.rank() > 0 && to.rank() == s.rank()+1
}

// implies reports whether an order that is in a state has been brought into another one: a late repeat finds the order further on.
func (s State) implies(earlier State) bool {
	return s == earlier || earlier.rank() > 0 && s.rank() > earlier.rank()
}

// ErrRefused is matched by errors about moves that an order cannot make.
var ErrRefused = errors.New("transition: the order cannot go there")

// DB is a database with a table of orders, or a transaction there: orders (id, state).
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Advance brings an order into a state. It reports false where the order has been there already. The state is compared and set in one
// statement, so that of two callers one moves the order.
func Advance(ctx context.Context, db DB, id string, to State) (moved bool, err error) {
	var now State
	if err := db.QueryRowContext(ctx, "SELECT state FROM orders WHERE id = $1", id).Scan(&now); err != nil {
		return false, fmt.Errorf("transition: looking at order %s: %w", id, err)
	}

	switch {
	case now.implies(to):
		return false, nil
	case !now.leadsTo(to):
		return false, fmt.Errorf("%w: from %s to %s", ErrRefused, now, to)
	}

	res, err := db.ExecContext(ctx, "UPDATE orders SET state = $1 WHERE id = $2 AND state = $3", to, id, now)
	if err != nil {
		return false, fmt.Errorf("transition: moving order %s: %w", id, err)
	}

	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return n == 1, err
	}

	return Advance(ctx, db, id, to) // somebody else was faster; the order has gone on, so this ends
}

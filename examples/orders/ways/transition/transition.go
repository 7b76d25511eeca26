// Package transition moves an order from state to state, and accepts a repeated move.
//
//	CREATED ──► PENDING_PAYMENT ──► PAID ──► SHIPPED ──► DELIVERED
//	   └───────────────┴──────────────┴──────────────────► CANCELLED
//
// Choose it if the operation moves something into a state, and the state alone shows that it has happened: paid, shipped, cancelled. It
// needs no extra data, never expires, and works for every caller.
//
//   - It does not help if the operation adds something each time, such as a charge.
//   - It proves nothing about effects elsewhere. Two calls that ship an order both find it shipped.
//   - A repeat returns the current state, not the answer of the first call.
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

// rank is the position of a state on the way to the customer. Cancelled has none.
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

// leadsTo reports whether an order may change from one state to another.
func (s State) leadsTo(to State) bool {
	if to == Cancelled {
		return s != Cancelled && s.rank() < Shipped.rank()
	}

	return s.rank() > 0 && to.rank() == s.rank()+1
}

// implies reports whether an order in this state has passed an earlier state. A late repeat may find the order further on.
func (s State) implies(earlier State) bool {
	return s == earlier || earlier.rank() > 0 && s.rank() > earlier.rank()
}

// ErrRefused matches errors about forbidden state changes.
var ErrRefused = errors.New("transition: the order cannot go there")

// DB is a database with a table of orders, or a transaction there: orders (id, state).
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Advance moves an order to a state. It returns false if the order was already there. One statement compares and sets the state, so only
// one of two callers moves the order.
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

	return Advance(ctx, db, id, to) // another caller was faster; states only advance, so the recursion ends
}

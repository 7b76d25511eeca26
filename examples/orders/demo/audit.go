package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/examples/orders/inventory"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/examples/orders/ways/transition"
)

// audit counts what the databases have of the orders.
type audit struct {
	charges   int   // rows of payments
	movements int   // rows of withdrawals
	pieces    int64 // withdrawn pieces that nobody has ordered; negative if too many are left

	paid       int // orders that were charged
	stockMoved int // orders whose lines were all taken from the stock
	doubled    int // orders with an effect that happened more than once
	missing    int // orders with an effect that did not happen

	examples []string // descriptions of wrong orders
}

// good reports whether every effect happened once.
func (a *audit) good(orders int) bool {
	return a.paid == orders && a.stockMoved == orders && a.doubled == 0 && a.missing == 0 && a.pieces == 0 && a.charges == orders
}

func (a *audit) wrong() string { return strings.Join(a.examples, "; ") }

// happened counts the effects of an order.
type happened struct {
	charges, checkouts int
	lines              map[int]int
	state              string
}

// audit reads all databases.
func (s *stage) audit(ctx context.Context) (*audit, error) {
	a := &audit{}
	all := make(map[string]*happened)

	var wanted int64

	for _, o := range s.demo.orders {
		all[o.id] = &happened{lines: make(map[int]int)}

		for _, pieces := range o.pieces {
			wanted += pieces
		}
	}

	if err := s.read(ctx, a, all, wanted); err != nil {
		return nil, err
	}

	for i := range s.demo.orders {
		a.judge(&s.demo.orders[i], all[s.demo.orders[i].id])
	}

	return a, nil
}

// judge adds one order.
func (a *audit) judge(o *order, h *happened) {
	most, least := max(h.charges, h.checkouts), min(h.charges, h.checkouts)
	moved := true

	for line := range o.pieces {
		n := h.lines[line+1]
		most, least = max(most, n), min(least, n)
		moved = moved && n > 0
	}

	if h.charges > 0 {
		a.paid++
	}

	if moved {
		a.stockMoved++
	}

	if most > 1 {
		a.doubled++
	}

	if least == 0 || h.state != string(transition.Paid) {
		a.missing++
	}

	if most > 1 || least == 0 || h.state != string(transition.Paid) {
		a.examples = append(a.examples, fmt.Sprintf("%s is %s: %d charges, %v withdrawals, %d checkouts",
			o.id, h.state, h.charges, h.lines, h.checkouts))
	}
}

// read counts the effects of each order. The totals include rows of unknown orders.
func (s *stage) read(ctx context.Context, a *audit, all map[string]*happened, wanted int64) error {
	order := func(id string) *happened {
		if all[id] == nil {
			all[id] = &happened{lines: make(map[int]int)}
		}

		return all[id]
	}

	err := s.rows(ctx, service.Payments, "SELECT order_id, 0, '' FROM payments", func(id string, _ int64, _ string) {
		a.charges++
		order(id).charges++
	})
	if err != nil {
		return err
	}

	err = s.rows(ctx, service.Inventory, "SELECT order_id, line, '' FROM movements", func(id string, line int64, _ string) {
		a.movements++
		order(id).lines[int(line)]++
	})
	if err != nil {
		return err
	}

	a.pieces = inventory.Items*inventory.Pieces - wanted

	err = s.rows(ctx, service.Inventory, "SELECT sku, pieces, '' FROM stock", func(_ string, left int64, _ string) { a.pieces -= left })
	if err != nil {
		return err
	}

	err = s.rows(ctx, service.Orders, "SELECT id, 0, state FROM orders", func(id string, _ int64, state string) { order(id).state = state })
	if err != nil {
		return err
	}

	return s.rows(ctx, service.Gateway, "SELECT order_id, 0, '' FROM checkouts", func(id string, _ int64, _ string) { order(id).checkouts++ })
}

// rows runs a query in the database of a service, and visits each row: a text, a number and a text.
func (s *stage) rows(ctx context.Context, name, query string, visit func(string, int64, string)) error {
	db, err := s.members[name].config.Database.Open()
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read

	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("reading the database of %s: %w", name, err)
	}
	defer rows.Close()

	for rows.Next() {
		var (
			first, last string
			number      int64
		)

		if err := rows.Scan(&first, &number, &last); err != nil {
			return fmt.Errorf("reading the database of %s: %w", name, err)
		}

		visit(first, number, last)
	}

	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the database of %s: %w", name, err)
	}

	return nil
}

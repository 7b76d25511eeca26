package demo

import (
	"fmt"

	"github.com/onlyonce-go/onlyonce/examples/orders/inventory"
	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
)

// order is a cart that is checked out.
type order struct {
	id, customer string
	pieces       []int64 // of each line
	first        int     // number of the item on its first line; the items of further lines follow it
}

func makeOrders(count int) []order {
	all := make([]order, count)

	for i := range all {
		o := order{id: fmt.Sprintf("order-%04d", i+1), customer: fmt.Sprintf("customer-%02d", i%40), first: i} // some customers order often

		for line := range 1 + i%3 { // up to three lines
			o.pieces = append(o.pieces, int64(1+(i+line)%4)) // a few pieces
		}

		all[i] = o
	}

	return all
}

func (o *order) request() *shopv1.CheckoutRequest {
	req := &shopv1.CheckoutRequest{OrderId: o.id, Customer: o.customer}

	for i, pieces := range o.pieces {
		req.Lines = append(req.Lines, &shopv1.Line{Sku: inventory.SKU(o.first + i), Quantity: pieces})
	}

	return req
}

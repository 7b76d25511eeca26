package main

import (
	"fmt"
	"sync"
)

// provider is a payment provider without idempotency: every request is charged. Its book shows the real charges.
type provider struct {
	mu    sync.Mutex
	book  map[string][]string // the receipts of each order
	total int
}

func newProvider() *provider { return &provider{book: make(map[string][]string)} }

// charge takes the money for an order.
func (p *provider) charge(orderID string) (receipt string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.total++
	receipt = fmt.Sprintf("receipt-%06d", p.total)
	p.book[orderID] = append(p.book[orderID], receipt)

	return receipt
}

// charges returns the receipts of an order, oldest first.
func (p *provider) charges(orderID string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.book[orderID]
}

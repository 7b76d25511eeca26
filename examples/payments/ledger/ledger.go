// Package ledger is a payment service that charges on every request. It does not detect duplicates; the interceptor in front of it does.
package ledger

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Payment is one charge.
type Payment struct {
	ID          string
	OrderID     string
	AmountMinor int64
	Currency    string
	// Number is the number of the charge for this order, from 1.
	Number int64
	// BalanceMinor is the payer's balance after the charge.
	BalanceMinor int64
}

// Ledger holds payments and balances in memory. It is safe for concurrent use.
type Ledger struct {
	mu       sync.Mutex
	charges  map[string][]Payment
	balances map[account]int64
	total    int
}

type account struct{ name, currency string }

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{charges: make(map[string][]Payment), balances: make(map[account]int64)}
}

// Charge moves the money. After the time until, it does nothing and returns false; zero means that there is no such time. So somebody who
// finds no payment after that time knows that none will follow.
func (l *Ledger) Charge(until time.Time, orderID, payer, payee string, amountMinor int64, currency string) (Payment, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if !until.IsZero() && time.Now().After(until) {
		return Payment{}, false
	}

	l.total++
	l.balances[account{payer, currency}] -= amountMinor
	l.balances[account{payee, currency}] += amountMinor

	p := Payment{
		ID: fmt.Sprintf("pay-%06d", l.total), OrderID: orderID, AmountMinor: amountMinor, Currency: currency,
		Number: int64(len(l.charges[orderID]) + 1), BalanceMinor: l.balances[account{payer, currency}],
	}
	l.charges[orderID] = append(l.charges[orderID], p)

	return p, true
}

// Payments returns the charges of an order, oldest first.
func (l *Ledger) Payments(orderID string) []Payment {
	l.mu.Lock()
	defer l.mu.Unlock()

	return slices.Clone(l.charges[orderID])
}

// Total returns the number of all charges.
func (l *Ledger) Total() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.total
}

// Package classify holds the code of docs/errors.md: a handler before and after its errors were classified, and its client.
package classify

import (
	"context"
	"errors"
)

// Accounts is a table of the service.
type Accounts interface {
	// Find returns ErrNoAccount if there is none. Any other error is one of the table.
	Find(ctx context.Context, payer string) (account string, err error)
}

// Provider is a payment provider with idempotency keys of its own.
type Provider interface {
	// Charge returns ErrDeclined if the account was not charged and will not be. After any other error it may have been charged.
	Charge(ctx context.Context, key, account string, amount int64, order string) (payment string, err error)
	// Payment returns the payment for an order, if the provider has one.
	Payment(ctx context.Context, order string) (payment string, found bool, err error)
}

// The errors that the handler distinguishes.
var (
	ErrNoAccount = errors.New("no such account")
	ErrDeclined  = errors.New("declined")
)

// Package classify contains the code of docs/errors.md: a handler before and after its errors were classified, and a client.
package classify

import (
	"context"
	"errors"
)

// Accounts is a table of the service.
type Accounts interface {
	// Find returns ErrNoAccount if there is no account. Any other error is a failure of the table.
	Find(ctx context.Context, payer string) (account string, err error)
}

// Provider is a payment provider with its own idempotency keys.
type Provider interface {
	// Charge returns ErrDeclined if the account was not charged and will not be. With any other error, it may have been charged.
	Charge(ctx context.Context, key, account string, amount int64, order string) (payment string, err error)
	// Payment returns the payment for an order, if the provider has a payment.
	Payment(ctx context.Context, order string) (payment string, found bool, err error)
}

// The errors that the handler distinguishes.
var (
	ErrNoAccount = errors.New("no such account")
	ErrDeclined  = errors.New("declined")
)

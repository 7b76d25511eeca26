package store

import (
	"context"
	"iter"
)

// Lister is implemented by stores that can find the records which wait for somebody to settle them.
type Lister interface {
	// ListUnknown yields every record whose outcome is unknown: those that are Unknown, and those that are Running under a
	// lease that has ended. A record that changes meanwhile may be missed or be told as it was. After an error the sequence
	// ends, except where the error matches ErrUnreadable or ErrNewer: it then names a record that cannot be read, and goes on.
	ListUnknown(ctx context.Context) iter.Seq2[Listed, error]
}

// Listed is a record that a Lister has found.
type Listed struct {
	// Key names the record.
	Key Key
	// Result is as that of a Lookup.
	Result Result
}

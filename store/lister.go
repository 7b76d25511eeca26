package store

import (
	"context"
	"iter"
)

// Lister is implemented by stores that can find the records that are not settled: those that wait for somebody, and those that run.
type Lister interface {
	// ListUnknown yields every record whose outcome is unknown: those that are Unknown, and those that are Running under a lease that has
	// ended.
	//   - A record that changes meanwhile may be missing, or may be as it was before.
	//   - An error that matches ErrUnreadable or ErrNewer is about one record that cannot be read, which Listed names. The sequence goes
	//     on.
	//   - After any other error the sequence ends. The records before it are right, and others may be missing.
	ListUnknown(ctx context.Context) iter.Seq2[Listed, error]

	// ListRunning yields every record that is Running under a lease that has not ended, for people who look at what goes on. What is said of
	// ListUnknown about changes and errors holds here as well.
	ListRunning(ctx context.Context) iter.Seq2[Listed, error]
}

// Listed is a record that a Lister has found.
type Listed struct {
	// Key names the record.
	Key Key
	// Result is the result of a Lookup of the record.
	Result Result
}

package store

import (
	"context"
	"iter"
)

// Lister finds the records that are not settled. See [Capabilities].
type Lister interface {
	// ListUnknown yields every record whose outcome is unknown: Unknown records, and Running records whose lease has ended.
	//   - A record that changes during the list may be missing, or be listed in its earlier state.
	//   - An error that matches ErrUnreadable or ErrNewer is about one record. Listed has its key, or a zero Key if the key itself is damaged.
	//     The sequence goes on.
	//   - Any other error ends the sequence. The records before it are right, and others may be missing.
	ListUnknown(ctx context.Context) iter.Seq2[Listed, error]

	// ListRunning yields every Running record whose lease has not ended. Changes and errors are as in ListUnknown.
	ListRunning(ctx context.Context) iter.Seq2[Listed, error]
}

// Listed is a record that a Lister found.
type Listed struct {
	// Key is the storage key of the record.
	Key Key
	// Result is what a Lookup of the record returns. It means nothing if the record cannot be read.
	Result Result
}

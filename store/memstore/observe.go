package memstore

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// WithObserver reports operations, refused writes of a full store, and the expired records that an operation removed. The latter are an
// EventSweep without a duration. There are no other events. The default is nil: no observer, and nothing is measured.
func WithObserver(observer store.Observer) Option {
	return func(c *config) { c.observer = observer }
}

// isFull reports whether err is the refusal of a full store.
func isFull(err error) bool { return errors.Is(err, store.ErrFull) }

// ended reports the end of an operation.
func (s *Store) ended(ctx context.Context, name store.Operation, began time.Time, res *store.Result, err error) {
	if name == store.OperationLookup {
		s.observed.Answered(ctx, name, began, &err)
	} else {
		s.observed.Ended(ctx, name, began, res, &err)
	}
}

// swept reports the expired records that an operation removed.
func (s *Store) swept(ctx context.Context, records int) {
	if records > 0 {
		store.Report(ctx, s.observed.Observer, store.Event{
			Kind: store.EventSweep, Operation: store.OperationSweep, Status: store.StatusApplied, Count: records,
		})
	}
}

// operationOf returns the name of an operation.
func operationOf(op any) store.Operation {
	switch op.(type) {
	case *store.Claim:
		return store.OperationClaim
	case *store.Renewal:
		return store.OperationRenew
	case *store.Completion:
		return store.OperationComplete
	case *store.Release:
		return store.OperationRelease
	case *store.Hold:
		return store.OperationHold
	case *store.Resolution:
		return store.OperationResolve
	case *store.Forgetting:
		return store.OperationForget
	default:
		return store.OperationLookup
	}
}

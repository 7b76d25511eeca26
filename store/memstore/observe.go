package memstore

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// WithObserver reports to an observer what the store does: operations, writes that it refuses because a bound is reached, and how many
// expired records an operation has removed, as an EventSweep without a duration. There are no events of other kinds. Nil means no
// observer, and nothing is measured then.
func WithObserver(observer store.Observer) Option {
	return func(c *config) { c.observer = observer }
}

// isFull recognises the refusal to write.
func isFull(err error) bool { return errors.Is(err, store.ErrFull) }

// ended reports the end of an operation.
func (s *Store) ended(ctx context.Context, name store.Operation, began time.Time, res *store.Result, err error) {
	if name == store.OperationLookup {
		s.observed.Answered(ctx, name, began, &err)
	} else {
		s.observed.Ended(ctx, name, began, res, &err)
	}
}

// swept reports how many expired records were removed on the way of an operation.
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

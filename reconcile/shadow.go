package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// SettleShadow completes the shadow-mode records of processes that died: see onlyonce.Engine.ListShadow. Run does this in every pass.
// SettleShadow skips records that were settled meanwhile.
//
// It returns the number of completed records. The error joins the errors of single records and of an incomplete list. If the store cannot
// list or settle records, SettleShadow returns 0 and nil.
func SettleShadow(ctx context.Context, engine *onlyonce.Engine) (settled int, err error) {
	var problems []error

	for rec, err := range engine.ListShadow(ctx) {
		switch {
		case errors.Is(err, onlyonce.ErrNotSupported):
			return settled, nil
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			continue // the pass over ListUnknown reports it
		case err != nil:
			return settled, errors.Join(append(problems, fmt.Errorf("reconcile: listing shadow-mode records: %w", err))...)
		}

		switch err := engine.SettleShadow(ctx, rec); {
		case err == nil:
			settled++
		case errors.Is(err, onlyonce.ErrNotSupported):
			return settled, nil
		case errors.Is(err, onlyonce.ErrNotUnknown), errors.Is(err, onlyonce.ErrRecordChanged):
		default:
			problems = append(problems, err)
		}
	}

	return settled, errors.Join(problems...)
}

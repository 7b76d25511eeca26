package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// SettleShadow completes the records of shadow mode that their runs have left behind, because their process died: see
// onlyonce.Engine.ListShadow. Run does so at every look. A record that somebody else has settled meanwhile is left alone.
//
// The number is that of the records that were completed. The error joins those of single records, and that of the list if it is not
// complete. A store that cannot list or settle records has none of it.
func SettleShadow(ctx context.Context, engine *onlyonce.Engine) (settled int, err error) {
	var problems []error

	for rec, err := range engine.ListShadow(ctx) {
		switch {
		case errors.Is(err, onlyonce.ErrNotSupported):
			return settled, nil
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			continue // ListUnknown reports it
		case err != nil:
			return settled, errors.Join(append(problems, fmt.Errorf("reconcile: listing the records of shadow mode: %w", err))...)
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

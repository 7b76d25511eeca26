package onlyonce

import (
	"context"
	"fmt"
	"iter"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// shadowIdentity separates the records of shadow mode from those of real mode.
	shadowIdentity = "onlyonce.shadow"
	// shadowCallerGone is the code of a run that ended with its caller, where real mode would have let it go on.
	shadowCallerGone = "CALLER_GONE"
)

// useShadowIdentity gives the claim of a call the identity that the call has in shadow mode.
func (s *Shadow) useShadowIdentity() {
	s.claim.Key = sumOf(shadowIdentity, s.own.Scope, s.own.Method, s.own.Key)
	s.claim.Note = noteOf(&s.claim.Key, "")
}

// noteOf returns the outcome of a record of shadow mode that has no answer.
func noteOf(key *store.Key, code string) []byte {
	note := outcome.Stored{Kind: outcome.KindShadow, Code: code}

	return note.Encode(key)
}

// ofShadow reports whether a record was made in shadow mode and has no answer. A record that cannot be read was not.
func ofShadow(key *store.Key, rec *store.Record) bool {
	out, err := outcome.Decode(key, rec.Outcome)

	return err == nil && out.Kind == outcome.KindShadow
}

// ListShadow yields the records of shadow mode that are still running after their lease has ended. Their process died, or the store did not
// answer. ListUnknown leaves them out. The errors are those of ListUnknown. [Engine.SettleShadow] settles such a record. Package reconcile
// settles all.
func (e *Engine) ListShadow(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if e.can.Lister == nil {
			yield(Record{}, fmt.Errorf("%w: it has no store.Lister, so records cannot be listed", ErrNotSupported))

			return
		}

		for found, err := range e.can.Lister.ListUnknown(ctx) {
			if err == nil && !ofShadow(&found.Key, &found.Result.Record) {
				continue
			}

			rec := Record{ID: found.Key}
			if err == nil {
				rec.Record, rec.LookedUpAt, rec.Unknown = found.Result.Record, found.Result.Now, found.Result.Unknown()
			}

			if !yield(rec, err) {
				return
			}
		}
	}
}

// SettleShadow completes a record that [Engine.ListShadow] has returned, so that it expires by its retention. Duplicates of its call are
// then reported as calls whose outcome is unknown. The error matches ErrNotUnknown, ErrRecordChanged or ErrNotSupported, or is the store's.
func (e *Engine) SettleShadow(ctx context.Context, rec Record) error {
	switch {
	case e.can.Inspector == nil:
		return fmt.Errorf("%w: it has no store.Inspector, so records cannot be settled", ErrNotSupported)
	case !ofShadow(&rec.ID, &rec.Record):
		return fmt.Errorf("%w: record %v was not made in shadow mode; use Engine.Resolve", ErrNotUnknown, rec.ID)
	}

	bounded, done := e.storeContext(ctx)
	defer done()

	res, err := e.can.Inspector.Resolve(bounded, store.Resolution{
		Key: rec.ID, Token: rec.Token, Fence: rec.Fence, State: store.Completed, Outcome: noteOf(&rec.ID, ""),
	})

	switch {
	case err != nil:
		return fmt.Errorf("onlyonce: settling record %v of shadow mode: %w", rec.ID, err)
	case !res.Applied:
		return notResolved(&rec, &res)
	default:
		return nil
	}
}

package memstore

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// ListUnknown implements [store.Lister]. It looks at every record, one part of the store at a time.
func (s *Store) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		for i := range s.shards {
			if err := ctx.Err(); err != nil {
				yield(store.Listed{}, fmt.Errorf("memstore: %w", err))

				return
			}

			began := s.observed.Clock()
			found := s.shards[i].unknown(s.now())
			s.observed.Answered(ctx, store.OperationList, began, new(error))

			for j := range found {
				if !yield(found[j], nil) {
					return
				}
			}
		}
	}
}

// unknown returns the shard's records whose outcome is unknown.
func (sh *shard) unknown(now time.Time) (found []store.Listed) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	at := now.UnixNano()

	for key, ent := range sh.entries {
		if ent.expires != 0 && at >= ent.expires {
			continue
		}

		if ent.state == store.Unknown || ent.state == store.Running && at >= ent.lease {
			one := store.Listed{Key: key, Result: store.Result{Now: now}}
			ent.read(&one.Result.Record)
			found = append(found, one)
		}
	}

	return found
}

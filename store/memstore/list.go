package memstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/onlyonce-go/onlyonce/store"
)

// slabsPerLook is how many slabs are read under one lock.
const slabsPerLook = 32

// ListUnknown implements [store.Lister]. It looks at every record, a thousand at a time, so that it holds up no operation for long.
func (s *Store) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		for i := range s.shards {
			for slab, more := 0, true; more; {
				if err := ctx.Err(); err != nil {
					yield(store.Listed{}, fmt.Errorf("memstore: %w", err))

					return
				}

				var found []store.Listed

				began := s.observed.Clock()
				found, slab, more = s.shards[i].unknown(s, slab)
				s.observed.Answered(ctx, store.OperationList, began, new(error))

				for j := range found {
					if !yield(found[j], nil) {
						return
					}
				}
			}
		}
	}
}

// unknown returns the records of some slabs whose outcome is unknown, and the number of the slab to go on with, if there are more.
func (sh *shard) unknown(s *Store, slab int) (found []store.Listed, next int, more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	now := s.now()
	at := now.UnixNano()

	next, more = sh.slabs.each(slab, slabsPerLook, func(p place) {
		if ent := sh.slabs.entry(p); ent.isUnknown(at) {
			one := store.Listed{Key: ent.key, Result: store.Result{Now: now}}
			sh.read(p, &one.Result.Record)
			found = append(found, one)
		}
	})

	return found, next, more
}

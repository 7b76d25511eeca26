package memstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/onlyonce-go/onlyonce/store"
)

// slabsPerRead is how many slabs are read under one lock.
const slabsPerRead = 32

// ListUnknown implements [store.Lister]. It reads every record, about a thousand under one lock, so it delays other operations only
// briefly. The sequence ends with an error if ctx ends.
func (s *Store) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, (*entry).isUnknown)
}

// ListRunning implements [store.Lister]. It reads every record, as ListUnknown does.
func (s *Store) ListRunning(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, (*entry).isAlive)
}

// list yields the wanted records. At is the time of the read, in nanoseconds since 1970.
func (s *Store) list(ctx context.Context, wanted func(ent *entry, at int64) bool) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		for i := range s.shards {
			for slab, more := 0, true; more; {
				if err := ctx.Err(); err != nil {
					yield(store.Listed{}, fmt.Errorf("memstore: list: %w", err))

					return
				}

				var found []store.Listed

				began := s.observed.Clock()
				found, slab, more = s.shards[i].find(s, slab, wanted)
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

// find returns the wanted records of the next slabs. It returns the number of the slab that follows, and whether there are more.
func (sh *shard) find(s *Store, slab int, wanted func(ent *entry, at int64) bool) (found []store.Listed, next int, more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	now := s.now()
	at := now.UnixNano()

	next, more = sh.slabs.each(slab, slabsPerRead, func(p place) {
		if ent := sh.slabs.entry(p); wanted(ent, at) {
			one := store.Listed{Key: ent.key, Result: store.Result{Now: now}}
			sh.read(p, &one.Result.Record)
			found = append(found, one)
		}
	})

	return found, next, more
}

package operate

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// mostUnreadable bounds Listing.Unreadable.
const mostUnreadable = 100

// Listing is the result of List.
type Listing struct {
	// Records are the selected records, sorted by the time in their state, longest first. There are at most Limit records.
	Records []onlyonce.Record
	// Selected counts the selected records, including those beyond Limit.
	Selected int
	// Unreadable are the first 100 records that cannot be read. The filter cannot be applied to them.
	Unreadable []Unreadable
	// UnreadableTotal counts all records that cannot be read.
	UnreadableTotal int
}

// Unreadable is a record that exists but cannot be read.
type Unreadable struct {
	ID store.Key
	// Err matches store.ErrUnreadable or store.ErrNewer.
	Err error
}

// List returns the records that a filter selects. It reads all unsettled records, and keeps at most Limit of them in memory.
//
// The error is that of Filter.Validate, onlyonce.ErrNotSupported, or an error of the store. With an error, the Listing may be incomplete.
func List(ctx context.Context, engine *onlyonce.Engine, f Filter) (Listing, error) {
	if err := f.Validate(); err != nil {
		return Listing{}, err
	}

	c := collector{filter: &f}

	var err error
	if f.wantsUnknown() {
		err = c.collect(engine.ListUnknown(ctx))
	}

	if err == nil && f.wants(StateRunning) {
		err = c.collect(engine.ListRunning(ctx))
	}

	return c.listing(), err
}

// collector keeps the oldest selected records.
type collector struct {
	filter *Filter
	oldest youngestFirst
	found  Listing
}

// collect takes the records of a sequence, until the end or an error.
func (c *collector) collect(records iter.Seq2[onlyonce.Record, error]) error {
	for rec, err := range records {
		switch {
		case errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer):
			c.unreadable(rec.ID, err)
		case err != nil:
			return err
		case c.filter.Selects(&rec):
			c.take(rec)
		}
	}

	return nil
}

func (c *collector) unreadable(id store.Key, err error) {
	c.found.UnreadableTotal++
	if len(c.found.Unreadable) < mostUnreadable {
		c.found.Unreadable = append(c.found.Unreadable, Unreadable{ID: id, Err: err})
	}
}

func (c *collector) take(rec onlyonce.Record) {
	c.found.Selected++

	heap.Push(&c.oldest, rec)

	if len(c.oldest) > c.filter.limit() {
		heap.Pop(&c.oldest)
	}
}

func (c *collector) listing() Listing {
	c.found.Records = c.oldest
	slices.SortFunc(c.found.Records, func(a, b onlyonce.Record) int { return byAge(&a, &b) })

	return c.found
}

// byAge sorts records by age, the oldest first, then by ID.
func byAge(a, b *onlyonce.Record) int {
	return cmp.Or(Since(a).Compare(Since(b)), slices.Compare(a.ID[:], b.ID[:]))
}

// youngestFirst is a heap with the youngest record on top.
type youngestFirst []onlyonce.Record

func (y *youngestFirst) Len() int           { return len(*y) }
func (y *youngestFirst) Less(i, j int) bool { return byAge(&(*y)[i], &(*y)[j]) > 0 }
func (y *youngestFirst) Swap(i, j int)      { (*y)[i], (*y)[j] = (*y)[j], (*y)[i] }

// Push implements [heap.Interface].
func (y *youngestFirst) Push(rec any) { *y = append(*y, rec.(onlyonce.Record)) } //nolint:forcetypeassert,errcheck // only take pushes

// Pop implements [heap.Interface].
func (y *youngestFirst) Pop() any {
	last := len(*y) - 1
	rec := (*y)[last]
	*y = (*y)[:last]

	return rec
}

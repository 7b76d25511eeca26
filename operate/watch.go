package operate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// DefaultWatchInterval is the time between two looks of Watch, unless another is given: 2 seconds.
const DefaultWatchInterval = 2 * time.Second

// ChangeKind is the kind of a Change.
type ChangeKind string

// The kinds of changes.
const (
	// Appeared means that the filter selects a record that it did not select before.
	Appeared ChangeKind = "appeared"
	// Disappeared means that the record is settled, gone, or running again. The Record of the change is what it is now.
	Disappeared ChangeKind = "disappeared"
	// Failed means that a look has failed. Err says why. Watch goes on, and is silent about further looks that fail in the same way, until
	// one succeeds.
	Failed ChangeKind = "failed"
)

// Change is something that Watch has seen.
type Change struct {
	Kind ChangeKind
	// Record is the record as it is now. It is zero if the look has failed.
	Record onlyonce.Record
	// Before is the record as it was when it appeared, if it has disappeared.
	Before onlyonce.Record
	// Err is why a look has failed, or why the record that has disappeared cannot be read.
	Err error
}

// Watch yields the records that a filter selects, and then each that appears or disappears, until ctx ends or the caller stops. It looks at
// once, and then every interval. Zero means DefaultWatchInterval.
//
//   - Only the oldest records up to the filter's Limit are watched.
//   - A record that appears and disappears between two looks is not seen.
//   - A filter with Older sees a record only once it is so old.
//
// A filter that is invalid, and a store that cannot list, are yielded as Failed, and end the sequence.
func Watch(ctx context.Context, engine *onlyonce.Engine, f Filter, interval time.Duration) iter.Seq[Change] {
	if interval <= 0 {
		interval = DefaultWatchInterval
	}

	return func(yield func(Change) bool) {
		if err := f.Validate(); err != nil {
			yield(Change{Kind: Failed, Err: err})

			return
		}

		w := watcher{engine: engine, filter: &f, known: make(map[store.Key]onlyonce.Record)}

		for {
			found, err := List(ctx, engine, f)
			if ctx.Err() != nil {
				return
			}

			if w.failsAnew(err) && !yield(Change{Kind: Failed, Err: fmt.Errorf("operate: looking for records: %w", err)}) {
				return
			}

			if errors.Is(err, onlyonce.ErrNotSupported) {
				return
			}

			changes := differences(w.known, found.Records, err == nil && found.UnreadableTotal == 0)
			if !w.tell(ctx, changes, yield) || !wait(ctx, interval) {
				return
			}
		}
	}
}

// watcher is what Watch remembers between two looks.
type watcher struct {
	engine *onlyonce.Engine
	filter *Filter
	known  map[store.Key]onlyonce.Record
	// failure is the text of the error of the last look, empty if it has succeeded.
	failure string
}

// failsAnew remembers how a look has ended, and reports whether it has failed in another way than the look before it.
func (w *watcher) failsAnew(err error) bool {
	before := w.failure
	w.failure = ""

	if err != nil {
		w.failure = err.Error()
	}

	return err != nil && w.failure != before
}

// tell yields the changes of a look, and reports whether the caller wants more. A record that has disappeared is looked up first.
func (w *watcher) tell(ctx context.Context, changes []Change, yield func(Change) bool) bool {
	for i := range changes {
		change := &changes[i]

		if change.Kind == Disappeared {
			change.Record, change.Err = w.engine.LookupID(ctx, change.Before.ID)
			if w.filter.stays(&change.Record, change.Err) {
				continue
			}

			delete(w.known, change.Before.ID)
		}

		if !yield(*change) {
			return false
		}
	}

	return true
}

// stays reports whether a record that a look has not returned is selected all the same: more were selected than are returned, or the index
// of the store has missed it.
func (f *Filter) stays(rec *onlyonce.Record, err error) bool { return err == nil && f.Selects(rec) }

// differences compares the records that are known with those of a look, and adds the new ones to those that are known. If the look is not
// whole, a record that it lacks may be there.
func differences(known map[store.Key]onlyonce.Record, found []onlyonce.Record, whole bool) []Change {
	var changes []Change

	seen := make(map[store.Key]bool, len(found))

	for i := range found {
		rec := &found[i]
		seen[rec.ID] = true

		if before, ok := known[rec.ID]; !ok || before.Token != rec.Token {
			changes = append(changes, Change{Kind: Appeared, Record: *rec})
			known[rec.ID] = *rec
		}
	}

	if !whole {
		return changes
	}

	for id := range known {
		if !seen[id] {
			changes = append(changes, Change{Kind: Disappeared, Before: known[id]})
		}
	}

	return changes
}

// wait waits for a time, and reports whether ctx is alive then.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

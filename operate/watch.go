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

// DefaultWatchInterval is the default interval of Watch: 2 seconds.
const DefaultWatchInterval = 2 * time.Second

// ChangeKind is the kind of a Change.
type ChangeKind string

// The kinds of changes.
const (
	// Appeared means that the filter now selects a record.
	Appeared ChangeKind = "appeared"
	// Disappeared means that the record is settled, removed, or running again. Change.Record is the record as it is now.
	Disappeared ChangeKind = "disappeared"
	// Failed means that a look at the store has failed. Change.Err is the reason. Watch continues. It does not repeat the same failure until a
	// look has succeeded.
	Failed ChangeKind = "failed"
)

// Change is a change that Watch has seen.
type Change struct {
	Kind ChangeKind
	// Record is the record as it is now. It is zero if Kind is Failed.
	Record onlyonce.Record
	// Before is the record as it appeared, if Kind is Disappeared.
	Before onlyonce.Record
	// Err is why a look has failed, or why a record that disappeared cannot be read.
	Err error
}

// Watch yields the records that a filter selects, and then every change, until ctx ends or the caller stops. It looks at once, and then at
// every interval. An interval of zero means DefaultWatchInterval.
//
// If the filter is invalid, or the store cannot list records, Watch yields a Failed change and ends.
//
//   - Watch covers the oldest records only, up to Filter.Limit.
//   - Watch misses a record that appears and disappears between two looks.
//   - With Filter.Older, a record appears when it reaches that age.
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

			if w.failsAnew(err) && !yield(Change{Kind: Failed, Err: fmt.Errorf("operate: watching records: %w", err)}) {
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

// watcher is the state of Watch between two looks.
type watcher struct {
	engine *onlyonce.Engine
	filter *Filter
	known  map[store.Key]onlyonce.Record
	// failure is the error text of the last look, or empty.
	failure string
}

// failsAnew records the result of a look. It reports whether the look has failed with a new error.
func (w *watcher) failsAnew(err error) bool {
	before := w.failure
	w.failure = ""

	if err != nil {
		w.failure = err.Error()
	}

	return err != nil && w.failure != before
}

// tell yields the changes of a look, and reports whether the caller wants more. It looks up a record that has disappeared.
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

// stays reports whether the filter still selects a record that is missing in a list. The list may be cut at the limit, or the index may
// lack the record.
func (f *Filter) stays(rec *onlyonce.Record, err error) bool { return err == nil && f.Selects(rec) }

// differences compares the known records with a new list, and adds new records to the known ones. If the list is not whole, a missing
// record proves nothing.
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

// wait waits, and reports whether ctx is still alive.
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

// Package report reports to the observer of a store. Without an observer it measures nothing.
package report

import (
	"context"
	"log/slog"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// To is where the events of a store go.
type To struct {
	// Observer may be nil.
	Observer store.Observer
	// Refuses recognises the refusal of a server to write.
	Refuses func(err error) bool
}

// Clock returns the time, or the zero time if nobody wants to know how long something takes.
func (t To) Clock() (now time.Time) {
	if t.Observer != nil {
		now = time.Now()
	}

	return now
}

// Ended reports the end of an operation, and the refusal of its write. It is deferred, so it takes pointers.
func (t To) Ended(
	ctx context.Context, operation store.Operation, began time.Time, res *store.Result,
	err *error, //nolint:gocritic // it is not known when a call is deferred
) {
	if t.Observer == nil {
		return
	}

	t.end(ctx, operation, began, res.Applied, *err)

	if *err != nil && t.Refuses(*err) {
		t.Refused(ctx, operation, *err)
	}
}

// Answered reports the end of an operation that only reads. It is deferred, as Ended is.
func (t To) Answered(
	ctx context.Context, operation store.Operation, began time.Time,
	err *error, //nolint:gocritic // as above
) {
	if t.Observer != nil {
		t.end(ctx, operation, began, true, *err)
	}
}

func (t To) end(ctx context.Context, operation store.Operation, began time.Time, applied bool, err error) {
	store.Report(ctx, t.Observer, store.Event{
		Kind: store.EventOperation, Operation: operation, Status: store.StatusOf(applied, err), Duration: time.Since(began), Err: err,
	})
}

// Refused reports that the server has refused to write. The operation may have an answer all the same.
func (t To) Refused(ctx context.Context, operation store.Operation, err error) {
	store.Report(ctx, t.Observer, store.Event{
		Kind: store.EventRefused, Operation: operation, Status: store.StatusOf(false, err), Err: err,
	})
}

// Resent reports that an operation is sent once more. The error is nil if a quicker way had no answer.
func (t To) Resent(ctx context.Context, operation store.Operation, err error) {
	store.Report(ctx, t.Observer, store.Event{Kind: store.EventResend, Operation: operation, Err: err})
}

// Batch reports the end of a round trip that some operations have shared.
func (t To) Batch(ctx context.Context, began time.Time, operations int) {
	if t.Observer != nil {
		store.Report(ctx, t.Observer, store.Event{Kind: store.EventBatch, Duration: time.Since(began), Count: operations})
	}
}

// Waited reports that an operation has waited for room.
func (t To) Waited(ctx context.Context, operation store.Operation, d time.Duration) {
	if t.Observer != nil && d > 0 {
		store.Report(ctx, t.Observer, store.Event{Kind: store.EventWait, Operation: operation, Duration: d})
	}
}

// Swept reports a sweep, and how many records it has deleted.
func (t To) Swept(ctx context.Context, began time.Time, records int, err error) {
	if t.Observer == nil {
		return
	}

	store.Report(ctx, t.Observer, store.Event{
		Kind: store.EventSweep, Operation: store.OperationSweep, Status: store.StatusOf(true, err),
		Duration: time.Since(began), Count: records, Err: err,
	})
}

// Repaired reports that entries of an index were added or removed. It is silent about none.
func (t To) Repaired(ctx context.Context, operation store.Operation, entries int) {
	if entries > 0 {
		store.Report(ctx, t.Observer, store.Event{
			Kind: store.EventRepair, Operation: operation, Status: store.StatusApplied, Count: entries,
		})
	}
}

// Listening reports that notifications are received from now on, or why not.
func (t To) Listening(ctx context.Context, err error) {
	store.Report(ctx, t.Observer, store.Event{
		Kind: store.EventListen, Operation: store.OperationListen, Status: store.StatusOf(true, err), Err: err,
	})
}

// Log writes to slog.Default what Run would otherwise do unseen: each failure of a step, and its first success after failures. It writes
// nothing if there is an observer, which gets all of it as events.
func (t To) Log(ctx context.Context, step string, failures int, err error, attrs ...any) {
	switch {
	case t.Observer != nil:
	case err != nil:
		slog.WarnContext(ctx, "onlyonce: "+step+" failed", append(attrs, "failures", failures, "error", err)...)
	case failures > 0:
		slog.InfoContext(ctx, "onlyonce: "+step+" works again", append(attrs, "failures", failures)...)
	}
}

// Indexed reports the end of a write to an index. It is deferred, as Ended is.
func (t To) Indexed(
	ctx context.Context, began time.Time, entries int,
	err *error, //nolint:gocritic // as above
) {
	if t.Observer != nil {
		store.Report(ctx, t.Observer, store.Event{
			Kind: store.EventIndex, Status: store.StatusOf(true, *err), Duration: time.Since(began), Count: entries, Err: *err,
		})
	}
}

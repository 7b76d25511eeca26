package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// WithObserver reports to an observer what the store does: its operations, round trips, waits and repairs of the index. It does not see
// what go-redis sends again by itself. Without an observer nothing is measured. Nil means none.
func WithObserver(observer store.Observer) Option { return func(c *config) { c.observer = observer } }

// reporter reports to the observer of a store, if there is one.
type reporter struct{ observer store.Observer }

// clock is the time, or the zero time if nobody wants to know how long something takes.
func (r reporter) clock() (now time.Time) {
	if r.observer != nil {
		now = time.Now()
	}

	return now
}

// ended reports the end of an operation.
func (r reporter) ended(ctx context.Context, operation store.Operation, began time.Time, res *store.Result, err *error) {
	if r.observer != nil {
		r.end(ctx, operation, began, res.Applied, *err)
	}
}

// answered reports the end of an operation that only reads.
func (r reporter) answered(ctx context.Context, operation store.Operation, began time.Time, err *error) {
	if r.observer != nil {
		r.end(ctx, operation, began, true, *err)
	}
}

func (r reporter) end(ctx context.Context, operation store.Operation, began time.Time, applied bool, err error) {
	store.Report(ctx, r.observer, store.Event{
		Kind: store.EventOperation, Operation: operation, Status: store.StatusOf(applied, err), Duration: time.Since(began), Err: err,
	})

	if operation != store.OperationClaim && isRefused(err) {
		r.refused(ctx, operation, err)
	}
}

// refused reports that the server has refused to write. A claim that is refused may have an answer all the same.
func (r reporter) refused(ctx context.Context, operation store.Operation, err error) {
	store.Report(ctx, r.observer, store.Event{
		Kind: store.EventRefused, Operation: operation, Status: store.StatusOf(false, err), Err: err,
	})
}

// isRefused recognises the refusal of a server to write.
func isRefused(err error) bool { return errors.Is(err, store.ErrFull) || refusesWrites(err) }

// resent reports that an operation is sent once more. The error is nil if a quicker way had no answer.
func (r reporter) resent(ctx context.Context, operation store.Operation, err error) {
	store.Report(ctx, r.observer, store.Event{Kind: store.EventResend, Operation: operation, Err: err})
}

// trip reports the end of a round trip of some operations.
func (r reporter) trip(ctx context.Context, began time.Time, operations int) {
	if r.observer != nil {
		store.Report(ctx, r.observer, store.Event{Kind: store.EventBatch, Duration: time.Since(began), Count: operations})
	}
}

// waited reports that a request has waited for a place in a batch.
func (r reporter) waited(q *request) {
	if r.observer == nil {
		return
	}

	until := q.boarded
	if until.IsZero() { // its time was over before
		until = time.Now()
	}

	if until.After(q.entered) {
		store.Report(q.ctx, r.observer, store.Event{Kind: store.EventWait, Duration: until.Sub(q.entered)})
	}
}

// repaired reports that entries of the index were added or removed.
func (r reporter) repaired(ctx context.Context, operation store.Operation, entries int) {
	if entries > 0 {
		store.Report(ctx, r.observer, store.Event{
			Kind: store.EventRepair, Operation: operation, Status: store.StatusApplied, Count: entries,
		})
	}
}

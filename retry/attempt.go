package retry

import (
	"context"
	"fmt"
	"time"
)

// ErrAttemptTimeout is the cause ([context.Cause]) of an attempt's context that Policy.AttemptTimeout ended.
// It wraps [context.DeadlineExceeded], so an operation may return either.
var ErrAttemptTimeout = fmt.Errorf("retry: attempt timeout: %w", context.DeadlineExceeded)

// Attempt is what is known of one finished attempt.
type Attempt struct {
	// Number counts from 1.
	Number int
	// Err is what the operation returned, the mark of [Permanent] included; nil after success.
	Err error
	// Elapsed is how long this attempt took.
	Elapsed time.Duration
	// TimedOut says that the attempt failed after Policy.AttemptTimeout had ended it, while the caller's
	// own context was alive.
	TimedOut bool
	// Stop says why no further attempt follows, [StopNone] where one does. Not yet known, and StopNone, in
	// Options.Classify.
	Stop Stop
	// Delay is how long after this attempt the next one starts. 0 where none follows, and in
	// Options.Classify.
	Delay time.Duration
}

// run makes one attempt, which begins now. The deferred cancel ends the timer even if op panics.
func run[T any](
	ctx context.Context, timeout time.Duration, number int, began time.Time, op func(context.Context, int) (T, error),
) (T, Attempt) {
	attemptCtx := ctx
	bounded := endsBefore(ctx, timeout)

	if bounded {
		var cancel context.CancelFunc

		attemptCtx, cancel = context.WithTimeoutCause(ctx, timeout, ErrAttemptTimeout)
		defer cancel()
	}

	value, err := op(attemptCtx, number)

	return value, Attempt{
		Number:  number,
		Err:     err,
		Elapsed: time.Since(began),
		// In this order: if the caller's context is alive after attemptCtx has ended, it did not end it.
		TimedOut: err != nil && bounded && ended(attemptCtx) != nil && ended(ctx) == nil,
	}
}

// endsBefore reports whether timeout is set and ends before the deadline of ctx.
func endsBefore(ctx context.Context, timeout time.Duration) bool {
	if timeout == 0 {
		return false
	}

	deadline, ok := ctx.Deadline()

	return !ok || timeout < time.Until(deadline)
}

// ended returns nil while ctx is alive, and [context.Canceled] or [context.DeadlineExceeded] afterwards. A
// deadline that the clock has passed counts, even if the timer of ctx has not fired yet: an operation that
// computes with the deadline itself fails ahead of that timer.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}

	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= 0 {
		return context.DeadlineExceeded
	}

	return nil
}

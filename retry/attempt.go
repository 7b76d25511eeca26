package retry

import (
	"context"
	"fmt"
	"time"
)

// ErrAttemptTimeout is the cause ([context.Cause]) of an attempt's context that Policy.AttemptTimeout ended. It wraps
// [context.DeadlineExceeded], so an operation may return either.
var ErrAttemptTimeout = fmt.Errorf("retry: attempt timeout: %w", context.DeadlineExceeded)

// Attempt describes a finished attempt.
type Attempt struct {
	// Number counts from 1.
	Number int
	// Err is the error of the operation, with the mark of [Permanent] if it has one. It is nil after success.
	Err error
	// Elapsed is how long this attempt took.
	Elapsed time.Duration
	// TimedOut reports that the attempt failed after Policy.AttemptTimeout had ended it. The caller's own context was alive.
	TimedOut bool
	// Stop is the reason why no further attempt follows, or [StopNone] if one follows. In Options.Classify it is always StopNone.
	Stop Stop
	// Delay is the time until the next attempt. It is 0 if no attempt follows, and always 0 in Options.Classify.
	Delay time.Duration
}

// run makes one attempt, which begins at a time. The deferred cancel stops the timer even if op panics.
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
		// The order matters: if the caller's context is alive after attemptCtx has ended, the timeout ended attemptCtx.
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

// ended returns nil while ctx is alive, and [context.Canceled] or [context.DeadlineExceeded] afterwards. A deadline that the clock has
// passed counts, even if the timer of ctx has not fired yet: an operation that computes with the deadline fails before that timer.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}

	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= 0 {
		return context.DeadlineExceeded
	}

	return nil
}

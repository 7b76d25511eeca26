package retry

import (
	"context"
	"fmt"
)

// InterruptedError says that the caller's context ended after an attempt had failed for a reason of its own.
// [errors.Is] and [errors.As] find that reason, the cause and the context's error ([context.Canceled] or
// [context.DeadlineExceeded]). The reason comes first: it is the one that errors.As meets.
type InterruptedError struct {
	// Err is the error of the last attempt that failed for a reason of its own.
	Err error
	// Cause is the [context.Cause] of the caller's context.
	Cause error

	end error // the context's error, which a cause of the caller's own need not wrap
}

// interruption returns the InterruptedError for ctx, which has ended, after err.
func interruption(ctx context.Context, err error) *InterruptedError {
	return &InterruptedError{Err: err, Cause: causeOf(ctx), end: ended(ctx)}
}

// Error names both.
func (e *InterruptedError) Error() string {
	return fmt.Sprintf("retry: interrupted: %v; last error: %v", e.Cause, e.Err)
}

// Unwrap returns Err and Cause.
func (e *InterruptedError) Unwrap() []error {
	return []error{e.Err, e.Cause}
}

// Is reports whether target is the error of the caller's context.
func (e *InterruptedError) Is(target error) bool {
	return e.end != nil && target == e.end
}

// causeOf returns why ctx ended, see [ended].
func causeOf(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}

	return context.DeadlineExceeded // the clock is ahead of the timer
}

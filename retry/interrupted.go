package retry

import (
	"context"
	"fmt"
)

// InterruptedError is the error of a call whose context ended after an attempt had failed for a reason of its own. [errors.Is] and
// [errors.As] find the error of that attempt, the cause, and the context's error ([context.Canceled] or [context.DeadlineExceeded]). They
// find the error of the attempt first.
type InterruptedError struct {
	// Err is the error of the last attempt that failed for a reason of its own.
	Err error
	// Cause is the [context.Cause] of the caller's context.
	Cause error

	end error // the context's error; the cause need not wrap it
}

// interruption returns the InterruptedError for err and for ctx, which has ended.
func interruption(ctx context.Context, err error) *InterruptedError {
	return &InterruptedError{Err: err, Cause: causeOf(ctx), end: ended(ctx)}
}

// Error names the cause and the last error.
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

// causeOf returns the cause of a context that has ended: see [ended].
func causeOf(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}

	return context.DeadlineExceeded // the timer has not fired yet
}

package retry

import (
	"context"
	"errors"
	"time"
)

// Decision is the result of Options.Classify for a failed attempt. The zero value stops the call.
type Decision struct {
	// Retry reports that the error is worth another attempt. The policy and the caller's context can still prevent the attempt.
	Retry bool
	// Delay replaces the backoff if HasDelay is set. Use it for a delay that a server demands, such as a pushback or a Retry-After. A negative
	// value counts as 0. Policy.MaxDelay does not bound it; Policy.MaxElapsed and the caller's deadline do. It does not reset the backoff of
	// later retries.
	Delay time.Duration
	// HasDelay reports that Delay is set, also if it is 0.
	HasDelay bool
	// Free makes the retry without a token of Policy.Budget. Use it for failures that are no sign of an overloaded server, for example if the
	// call only waits for another call. It has an effect only with Retry.
	Free bool
	// MaxElapsed shortens Policy.MaxElapsed for the rest of the call, for example to a time that a server declares. 0 and a longer time have
	// no effect.
	MaxElapsed time.Duration
}

// Options decide which errors are retried, and observe attempts. The zero value is usable. The functions run between the attempts, on the
// goroutine that called [Do], and should not block. They must be safe for concurrent use if several calls share the Options.
type Options struct {
	// Classify decides whether a failed attempt is retried. Nil retries every error, also a timeout of the attempt, except errors that are
	// marked with [Permanent]. A function replaces that rule: use [IsPermanent] to keep the mark. It is not called after a success, nor if the
	// error is only that the caller's context ended.
	Classify func(Attempt) Decision

	// Observe is called once after every attempt, also a successful one. Nil is no function. Its run time counts towards the delay.
	Observe func(Attempt)

	// Interrupted reports whether err means only that a context ended. Do calls it if the caller's context has ended during an attempt. Nil
	// accepts an error that is the error or the cause of that context, or wraps one of them. Set it if the errors of the operation show this
	// in another way, for example by a status code.
	Interrupted func(err error) bool
}

func (o Options) classify(a Attempt) Decision {
	if o.Classify == nil {
		return Decision{Retry: !IsPermanent(a.Err)}
	}

	return o.Classify(a)
}

func (o Options) observe(a Attempt) {
	if o.Observe != nil {
		o.Observe(a)
	}
}

// interrupted reports whether ctx has ended and err means only that.
func (o Options) interrupted(ctx context.Context, err error) bool {
	end := ended(ctx)

	switch {
	case end == nil:
		return false
	case o.Interrupted != nil:
		return o.Interrupted(err)
	default:
		return errors.Is(err, end) || errors.Is(err, causeOf(ctx))
	}
}

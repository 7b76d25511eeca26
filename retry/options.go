package retry

import (
	"context"
	"errors"
	"time"
)

// Decision is the verdict on a failed attempt.
type Decision struct {
	// Retry says that the error deserves another attempt. Whether there is one still depends on the policy
	// and on the caller's context.
	Retry bool
	// Delay is used instead of the backoff when HasDelay is set: the word of a server, such as a pushback
	// or a Retry-After. A negative value is taken as 0; Policy.MaxDelay does not bound it, Policy.MaxElapsed
	// and the caller's deadline do. It does not reset the backoff of later retries.
	Delay time.Duration
	// HasDelay tells a Delay of 0 from none.
	HasDelay bool
	// Free makes the retry without a token of Policy.Budget. Use it for failures that do not show a server in trouble, for example because the
	// call only waits for another call. It has an effect only with Retry.
	Free bool
	// MaxElapsed shortens Policy.MaxElapsed for the rest of the call, for example to a time that a server declares. 0 and a longer time change
	// nothing.
	MaxElapsed time.Duration
}

// Options say which errors deserve another attempt and who watches. The zero value is usable. The functions
// run in the goroutine that called [Do], between the attempts, and should not block.
type Options struct {
	// Classify judges a failed attempt. nil means: every error is retried, an attempt that timed out
	// included, except those marked by [Permanent]. A function of one's own replaces that rule whole; see
	// [IsPermanent]. It is not asked after a success, nor about an error that only tells that the caller's
	// context ended. It may be called from many goroutines if the Options are shared.
	Classify func(Attempt) Decision

	// Observe is called once after every attempt, the successful one included. nil means nobody watches. The
	// time it takes counts towards the delay.
	Observe func(Attempt)

	// Interrupted reports whether err only tells that a context ended; it is asked when the caller's context
	// has ended during an attempt. nil means: err is or wraps that context's error or cause. Set it if the
	// operation's errors say so in another way, for example with a status code of their own.
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

// interrupted reports whether ctx has ended and err tells nothing else.
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

package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Do runs op until it succeeds, or until p, o or ctx stops it. It returns the value of the successful attempt. Otherwise it returns the
// zero value and an error: the package documentation describes which one.
//   - op gets the number of the attempt, from 1. Its context ends with ctx and after Policy.AttemptTimeout. If that timeout is set, the
//     context also ends when the attempt is over.
//   - op must return when its context ends: Do waits for it.
//   - A panic of op passes through.
//
// Do may be called concurrently with the same policy and options. If the first attempt succeeds and there is no AttemptTimeout, Do
// allocates nothing.
func Do[T any](
	ctx context.Context, p Policy, o Options, op func(ctx context.Context, attempt int) (T, error),
) (T, error) {
	var none T

	if err := p.Validate(); err != nil {
		return none, err
	}

	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}

	c := call{policy: p.WithDefaults(), options: o, began: time.Now()}

	for number, began := 1, c.began; ; number, began = number+1, time.Now() {
		value, attempt := run(ctx, p.AttemptTimeout, number, began, op)
		if attempt.Err == nil {
			c.succeeded(attempt)

			return value, nil
		}

		if err := c.failed(ctx, attempt); err != nil {
			return none, err
		}
	}
}

// call is one call of [Do].
type call struct {
	policy  Policy // with defaults
	options Options
	began   time.Time // the first attempt
	last    error     // of the previous attempt, without its mark; nil: there was none
}

func (c *call) succeeded(a Attempt) {
	c.policy.Budget.give()

	a.Stop = StopSuccess
	c.options.observe(a)
}

// failed returns nil when it is time for the next attempt. Otherwise it returns the error of Do.
func (c *call) failed(ctx context.Context, a Attempt) error {
	if c.options.interrupted(ctx, a.Err) {
		a.Stop = StopCancelled
		c.options.observe(a)

		if c.last != nil {
			return interruption(ctx, c.last)
		}

		return unmark(a.Err)
	}

	c.last = unmark(a.Err)

	decision := c.options.classify(a)
	c.shorten(decision.MaxElapsed)

	now := time.Now()
	a.Stop, a.Delay = c.judge(ctx, now, a.Number, decision)
	c.options.observe(a)

	if a.Stop != StopNone {
		return c.last
	}

	return c.wait(ctx, now.Add(a.Delay))
}

// shorten lowers MaxElapsed to limit. It ignores a limit that is not positive, or not lower.
func (c *call) shorten(limit time.Duration) {
	if present := c.policy.MaxElapsed; limit > 0 && (present == 0 || limit < present) {
		c.policy.MaxElapsed = limit
	}
}

// judge returns StopNone and the delay if another attempt is allowed. Otherwise it returns the reason to stop.
func (c *call) judge(ctx context.Context, now time.Time, number int, d Decision) (Stop, time.Duration) {
	if !d.Retry {
		return StopNotRetryable, 0
	}

	affordable := d.Free || c.policy.Budget.take() // first, because every retryable failure counts

	if ended(ctx) != nil {
		return StopCancelled, 0
	}

	if number >= c.policy.MaxAttempts {
		return StopAttempts, 0
	}

	if !affordable {
		return StopBudget, 0
	}

	delay := max(d.Delay, 0)
	if !d.HasDelay {
		delay = c.policy.Backoff(number, rand.Float64()) //nolint:gosec // jitter need not be secret
	}

	if deadline, ok := ctx.Deadline(); ok && delay >= deadline.Sub(now) {
		return StopDeadline, 0
	}

	if limit := c.policy.MaxElapsed; limit > 0 && delay > limit-now.Sub(c.began) {
		return StopElapsed, 0
	}

	return StopNone, delay
}

// wait returns nil at a time. If no attempt may start then, it returns the error of Do.
func (c *call) wait(ctx context.Context, until time.Time) error {
	if delay := time.Until(until); delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()

		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}

	// If both are ready, select picks either.
	if ended(ctx) != nil {
		return interruption(ctx, c.last)
	}

	// A timer may fire late.
	if limit := c.policy.MaxElapsed; limit > 0 && time.Since(c.began) > limit {
		return c.last
	}

	return nil
}

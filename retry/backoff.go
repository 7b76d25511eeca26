package retry

import (
	"math"
	"time"
)

// Backoff returns the delay before a retry, by capped exponential backoff with full jitter:
//
//	random * min(MaxDelay, BaseDelay * Multiplier^(retry-1))
//
// It is a pure function of its arguments.
//   - retry counts from 1, the retry after the first attempt. A lower number counts as 1. No number overflows.
//   - random should be uniform in [0,1). A higher number yields at most MaxDelay. A negative number and NaN yield 0.
//   - The policy must be valid: see [Policy.Validate]. A zero field has its default.
//
// Full jitter spreads the retries of many callers over the whole delay, which costs the least work in total:
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. gRFC A6 has the same formula:
// https://github.com/grpc/proposal/blob/master/A6-client-retries.md#exponential-backoff.
func (p Policy) Backoff(retry int, random float64) time.Duration {
	p = p.WithDefaults()

	// A floating-point power grows to +Inf, which is then capped. An integer would overflow.
	growth := math.Pow(p.Multiplier, float64(max(retry, 1)-1))
	limit := float64(p.MaxDelay)
	delay := random * min(limit, float64(p.BaseDelay)*growth)

	switch {
	case delay >= limit: // the conversion below stays in range
		return p.MaxDelay
	case delay > 0:
		return time.Duration(delay)
	default: // NaN included
		return 0
	}
}

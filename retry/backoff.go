package retry

import (
	"math"
	"time"
)

// Backoff returns the delay before a retry: capped exponential backoff with full jitter, that is
//
//	random * min(MaxDelay, BaseDelay * Multiplier^(retry-1))
//
// It is a pure function of its arguments. retry counts from 1, the retry after the first attempt; a lower
// number is taken as 1, and no number overflows. random is meant to be uniform in [0,1); what lies outside
// yields 0 or at most MaxDelay. The policy must be valid, see [Policy.Validate]; zero fields mean their
// defaults.
//
// Full jitter spreads the retries of many callers over the whole span and so costs the least work in all:
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. The formula is also that of
// gRFC A6, https://github.com/grpc/proposal/blob/master/A6-client-retries.md#exponential-backoff.
func (p Policy) Backoff(retry int, random float64) time.Duration {
	p = p.WithDefaults()

	// In floating point the power grows to +Inf, which the cap takes in, where integers would wrap round.
	growth := math.Pow(p.Multiplier, float64(max(retry, 1)-1))
	limit := float64(p.MaxDelay)
	delay := random * min(limit, float64(p.BaseDelay)*growth)

	switch {
	case delay >= limit: // also keeps the conversion below in range
		return p.MaxDelay
	case delay > 0:
		return time.Duration(delay)
	default: // NaN included
		return 0
	}
}

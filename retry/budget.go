package retry

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
)

const (
	// milli is the number of units in a token. Integers keep the threshold exact; a sum of many 0.1 is not exact. gRFC A6 requires three
	// decimal places.
	milli = 1000

	// maxBudget keeps the arithmetic far below overflow.
	maxBudget = 1e9
)

// Budget bounds the retries of all calls that share it, so that retries do not overload a server in trouble. It is the token bucket of gRFC
// A6 (retryThrottling):
//   - It starts full.
//   - Each retryable failure of an attempt takes one token.
//   - Each success adds a fraction of a token.
//   - Retries are allowed only while the budget has more than half of its tokens.
//
// First attempts are always allowed. Failures that are [Decision.Free] neither take a token nor need one.
//
// Use one Budget for each server or service that can be overloaded on its own: see [Budgets]. [NewBudget] makes a Budget; the zero value
// allows no retry. A Budget is safe for concurrent use and must not be copied. It never blocks, and nothing runs in the background.
//
// Source: https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs
type Budget struct {
	max    int64 // in thousandths of a token, as the others
	ratio  int64
	tokens atomic.Int64
}

// NewBudget returns a full Budget of maxTokens. Each success adds ratio tokens. Both numbers are rounded to thousandths and must be from
// 0.001 to 1e9. The error names every number that is not. In the long run, about ratio retries follow each success. The examples of gRPC
// use 10 and 0.1.
func NewBudget(maxTokens, ratio float64) (*Budget, error) {
	limit, errLimit := thousandths("maxTokens", maxTokens)
	gain, errGain := thousandths("ratio", ratio)

	if err := errors.Join(errLimit, errGain); err != nil {
		return nil, err
	}

	b := &Budget{max: limit, ratio: gain}
	b.tokens.Store(limit)

	return b, nil
}

func thousandths(name string, value float64) (int64, error) {
	if !(value >= 1.0/milli && value <= maxBudget) { // NaN fails every comparison
		return 0, fmt.Errorf("retry: %s of a budget is %v: set a number from %v to %v",
			name, value, 1.0/milli, float64(maxBudget))
	}

	return int64(math.Round(value * milli)), nil
}

// Tokens returns how many tokens the budget has now, from 0 to maxTokens. Retries are allowed while it is above half of maxTokens.
func (b *Budget) Tokens() float64 {
	return float64(b.tokens.Load()) / milli
}

// Limit returns maxTokens, the tokens of a full budget.
func (b *Budget) Limit() float64 { return float64(b.max) / milli }

// take records a retryable failure and reports whether a retry is allowed. A nil Budget allows all.
func (b *Budget) take() bool {
	if b == nil {
		return true
	}

	for {
		before := b.tokens.Load()

		after := max(before-milli, 0)
		if b.tokens.CompareAndSwap(before, after) {
			return 2*after > b.max
		}
	}
}

// give records a success.
func (b *Budget) give() {
	if b == nil {
		return
	}

	for {
		before := b.tokens.Load()

		after := min(before+b.ratio, b.max)
		if after == before || b.tokens.CompareAndSwap(before, after) {
			return
		}
	}
}

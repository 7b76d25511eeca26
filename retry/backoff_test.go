package retry_test

import (
	"math"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/retry"
)

const almostOne = 1 - 1.0/(1<<53)

func TestBackoff(t *testing.T) {
	t.Parallel()

	slow := retry.Policy{BaseDelay: 100 * time.Millisecond, MaxDelay: time.Second, Multiplier: 3}
	vast := retry.Policy{BaseDelay: math.MaxInt64, MaxDelay: math.MaxInt64, Multiplier: 2}

	tests := map[string]struct {
		policy retry.Policy
		retry  int
		random float64
		want   time.Duration
	}{
		"default, first":           {retry.Policy{}, 1, 0.5, 25 * time.Millisecond},
		"default, second":          {retry.Policy{}, 2, 0.5, 50 * time.Millisecond},
		"default, fourth":          {retry.Policy{}, 4, 0.5, 200 * time.Millisecond},
		"default, capped":          {retry.Policy{}, 8, 0.5, 2500 * time.Millisecond},
		"no luck at all":           {slow, 3, 0, 0},
		"growth of three":          {slow, 2, 0.5, 150 * time.Millisecond},
		"growth of one":            {retry.Policy{Multiplier: 1}, 1000, 0.5, 25 * time.Millisecond},
		"cap":                      {slow, 4, 0.25, 250 * time.Millisecond},
		"cap below default base":   {retry.Policy{MaxDelay: time.Millisecond}, 1, 0.5, 500 * time.Microsecond},
		"number zero is the first": {slow, 0, 0.5, 50 * time.Millisecond},
		"lowest number":            {slow, math.MinInt, 0.5, 50 * time.Millisecond},
		"highest number":           {slow, math.MaxInt, 0.5, 500 * time.Millisecond},
		"longest delay":            {vast, math.MaxInt, 0.5, 1 << 62},
		"longest, out of range":    {vast, math.MaxInt, 1, math.MaxInt64},
		"random below range":       {slow, 1, -1, 0},
		"random not a number":      {slow, 1, math.NaN(), 0},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := test.policy.Backoff(test.retry, test.random); got != test.want {
				t.Errorf("Backoff(%d, %v) = %v, want %v", test.retry, test.random, got, test.want)
			}
		})
	}
}

// FuzzBackoff checks the delays of a valid policy. Each lies between 0 and the bound. The bound never shrinks from one
// retry to the next, and never exceeds MaxDelay.
func FuzzBackoff(f *testing.F) {
	f.Add(int64(0), int64(0), 0.0, 1, 0.5)
	f.Add(int64(1), int64(math.MaxInt64), 1.0, math.MaxInt-1, almostOne)
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), math.MaxFloat64, 2, almostOne)
	f.Add(int64(50*time.Millisecond), int64(5*time.Second), 1.5, 63, 0.999)
	f.Add(int64(3), int64(1<<53+1), 2.0, 64, 0.0)

	f.Fuzz(func(t *testing.T, base, limit int64, multiplier float64, retries int, random float64) {
		p := retry.Policy{
			BaseDelay:  time.Duration(base),
			MaxDelay:   time.Duration(limit),
			Multiplier: multiplier,
		}
		if p.Validate() != nil || !(random >= 0 && random < 1) || retries == math.MaxInt {
			return // out of contract
		}

		highest := p.WithDefaults().MaxDelay
		bound := p.Backoff(retries, almostOne)
		got := p.Backoff(retries, random)
		next := p.Backoff(retries+1, almostOne)

		if got < 0 || got > bound || bound > next || next > highest {
			t.Errorf("%+v retry %d: want 0 <= delay %d <= bound %d <= next bound %d <= MaxDelay %d",
				p, retries, got, bound, next, highest)
		}

		if again := p.Backoff(retries, random); again != got {
			t.Errorf("%+v retry %d: %d, then %d for the same arguments", p, retries, got, again)
		}
	})
}

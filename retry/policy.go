package retry

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// What the zero fields of a [Policy] mean.
const (
	defaultMaxAttempts = 5
	defaultBaseDelay   = 50 * time.Millisecond
	defaultMaxDelay    = 5 * time.Second
	defaultMultiplier  = 2
)

// maxDuration keeps all times and delays within what a time.Duration and gRPC's own retries can compute with.
const maxDuration = 100 * 365 * 24 * time.Hour

// Policy says how often and how fast an operation is run again. The zero value is usable: at most 5
// attempts, with delays of up to 50, 100, 200 and 400 ms between them. A Policy is a plain value and safe to
// copy and to share; the copies share the Budget. No duration may be above 100 years.
type Policy struct {
	// MaxAttempts bounds the number of attempts, the first included. 0 means 5; 1 means no retry; a
	// negative value is an error.
	MaxAttempts int

	// BaseDelay is the upper bound of the first delay. 0 means 50 ms. For practically no delay, set 1 ns.
	// It must not be above MaxDelay.
	BaseDelay time.Duration

	// MaxDelay is the upper bound of every delay that [Policy.Backoff] computes. 0 means 5 s. It does not bound
	// a delay from Options.Classify.
	MaxDelay time.Duration

	// Multiplier is the factor by which the upper bound of the delay grows from one retry to the next. 0
	// means 2. It must be finite and at least 1.
	Multiplier float64

	// AttemptTimeout bounds one attempt: it ends the context of the operation with the cause
	// [ErrAttemptTimeout]. 0 means that only the caller's context bounds an attempt. It has no effect where
	// the caller's deadline comes no later.
	AttemptTimeout time.Duration

	// MaxElapsed bounds the start of attempts: none starts later than this after the first began. It does
	// not end an attempt that runs. 0 means unbounded.
	MaxElapsed time.Duration

	// Budget bounds the retries of all calls that share it. nil means no such bound.
	Budget *Budget
}

// Validate returns nil, or an error that joins every problem of p and says for each what to do.
func (p Policy) Validate() error {
	var problems []error

	reject := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("retry: "+format, args...))
	}

	if p.MaxAttempts < 0 {
		reject("MaxAttempts is %d: set at least 1, which is no retry, or 0 for the default of %d", p.MaxAttempts, defaultMaxAttempts)
	}

	if !inRange(p.BaseDelay) {
		reject("BaseDelay is %v: set a positive duration of at most 100 years, or 0 for the default of %v", p.BaseDelay, defaultBaseDelay)
	}

	if !inRange(p.MaxDelay) {
		reject("MaxDelay is %v: set a positive duration of at most 100 years, or 0 for the default of %v", p.MaxDelay, defaultMaxDelay)
	}

	if !inRange(p.AttemptTimeout) {
		reject("AttemptTimeout is %v: set a positive duration of at most 100 years, or 0 for none", p.AttemptTimeout)
	}

	if !inRange(p.MaxElapsed) {
		reject("MaxElapsed is %v: set a positive duration of at most 100 years, or 0 for no bound", p.MaxElapsed)
	}

	// A default BaseDelay above a small MaxDelay is no contradiction: it is capped.
	if limit := p.WithDefaults().MaxDelay; p.MaxDelay >= 0 && p.BaseDelay > limit {
		reject("BaseDelay %v is above MaxDelay %v: raise MaxDelay or lower BaseDelay", p.BaseDelay, limit)
	}

	if m := p.Multiplier; m != 0 && !(m >= 1 && m <= math.MaxFloat64) { // NaN fails every comparison
		reject("Multiplier is %v: set a finite number of at least 1, or 0 for the default of %d", m, defaultMultiplier)
	}

	return errors.Join(problems...)
}

func inRange(d time.Duration) bool { return d >= 0 && d <= maxDuration }

// WithDefaults returns p with every zero field that has a default replaced by it. [Do] and
// [Policy.Backoff] apply it themselves.
func (p Policy) WithDefaults() Policy {
	if p.MaxAttempts == 0 {
		p.MaxAttempts = defaultMaxAttempts
	}

	if p.BaseDelay == 0 {
		p.BaseDelay = defaultBaseDelay
	}

	if p.MaxDelay == 0 {
		p.MaxDelay = defaultMaxDelay
	}

	if p.Multiplier == 0 {
		p.Multiplier = defaultMultiplier
	}

	return p
}

package retry

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// The defaults of the zero fields of a [Policy].
const (
	defaultMaxAttempts = 5
	defaultBaseDelay   = 50 * time.Millisecond
	defaultMaxDelay    = 5 * time.Second
	defaultMultiplier  = 2
)

// maxDuration bounds all times and delays. time.Duration and gRPC's own retries can compute with them without overflow.
const maxDuration = 100 * 365 * 24 * time.Hour

// Policy decides how often and how fast an operation is run again. The zero value makes at most 5 attempts, with delays of up to 50, 100,
// 200 and 400 ms between them. No duration may be negative or above 100 years. A Policy can be copied and shared; the copies share the
// Budget.
type Policy struct {
	// MaxAttempts bounds the number of attempts, the first included. 0 means 5, and 1 means no retry. A negative value is an error.
	MaxAttempts int

	// BaseDelay is the upper bound of the first delay. 0 means 50 ms, or MaxDelay if that is less. It must not be above MaxDelay. For
	// practically no delay, set 1 ns.
	BaseDelay time.Duration

	// MaxDelay is the upper bound of every delay from [Policy.Backoff]. 0 means 5 s. It does not bound a delay from Options.Classify.
	MaxDelay time.Duration

	// Multiplier is the factor by which the upper bound of the delay grows from one retry to the next. 0 means 2. It must be finite and at
	// least 1.
	Multiplier float64

	// AttemptTimeout bounds one attempt. It ends the context of the operation with the cause [ErrAttemptTimeout]. 0 means that only the
	// caller's context bounds an attempt. It has no effect if the caller's deadline comes no later.
	AttemptTimeout time.Duration

	// MaxElapsed bounds the start of attempts: no attempt starts later than MaxElapsed after the first one began. It does not end a running
	// attempt. 0 means no bound.
	MaxElapsed time.Duration

	// Budget bounds the retries of all calls that share it. Nil means no such bound.
	Budget *Budget
}

// Validate returns nil, or an error that joins every problem of p with its remedy.
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

	// A default BaseDelay above a small MaxDelay is valid: the delay is capped.
	if limit := p.WithDefaults().MaxDelay; p.MaxDelay >= 0 && p.BaseDelay > limit {
		reject("BaseDelay %v is above MaxDelay %v: raise MaxDelay or lower BaseDelay", p.BaseDelay, limit)
	}

	if m := p.Multiplier; m != 0 && !(m >= 1 && m <= math.MaxFloat64) { // NaN fails every comparison
		reject("Multiplier is %v: set a finite number of at least 1, or 0 for the default of %d", m, defaultMultiplier)
	}

	return errors.Join(problems...)
}

func inRange(d time.Duration) bool { return d >= 0 && d <= maxDuration }

// WithDefaults returns p with the default in place of every zero field that has one: MaxAttempts, BaseDelay, MaxDelay and Multiplier. [Do]
// and [Policy.Backoff] call it themselves.
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

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

// Policy says how often and how fast an operation is run again. The zero value is usable: at most 5
// attempts, with delays of up to 50, 100, 200 and 400 ms between them. A Policy is a plain value and safe to
// copy and to share; the copies share the Budget.
type Policy struct {
	// MaxAttempts bounds the attempts in all, the first included. 0 means 5, 1 means never again; a
	// negative value is an error.
	MaxAttempts int

	// BaseDelay is the upper bound of the first delay. 0 means 50 ms; for practically no delay take 1 ns.
	// It must not be above MaxDelay.
	BaseDelay time.Duration

	// MaxDelay is the upper bound of every delay that [Policy.Backoff] computes. 0 means 5 s. A delay that
	// Options.Classify gives is used as it is.
	MaxDelay time.Duration

	// Multiplier is the factor by which the upper bound of the delay grows from one retry to the next. 0
	// means 2; a value below 1 is an error, and so is one that is not finite.
	Multiplier float64

	// AttemptTimeout bounds one attempt: it ends the context that the operation is given, with the cause
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
		reject("MaxAttempts is %d: set 1 for no retry, or 0 for the default of %d",
			p.MaxAttempts, defaultMaxAttempts)
	}

	if p.BaseDelay < 0 {
		reject("BaseDelay is %v: set a positive duration, or 0 for the default of %v",
			p.BaseDelay, defaultBaseDelay)
	}

	if p.MaxDelay < 0 {
		reject("MaxDelay is %v: set a positive duration, or 0 for the default of %v",
			p.MaxDelay, defaultMaxDelay)
	}

	// A default BaseDelay above a small MaxDelay is no contradiction, it is capped.
	if limit := p.WithDefaults().MaxDelay; p.MaxDelay >= 0 && p.BaseDelay > limit {
		reject("BaseDelay %v is above MaxDelay %v: raise MaxDelay or lower BaseDelay", p.BaseDelay, limit)
	}

	if m := p.Multiplier; m != 0 && !(m >= 1 && m <= math.MaxFloat64) { // NaN fails every comparison
		reject("Multiplier is %v: set a finite number of at least 1, or 0 for the default of %d",
			m, defaultMultiplier)
	}

	if p.AttemptTimeout < 0 {
		reject("AttemptTimeout is %v: set a positive duration, or 0 for none", p.AttemptTimeout)
	}

	if p.MaxElapsed < 0 {
		reject("MaxElapsed is %v: set a positive duration, or 0 for no bound", p.MaxElapsed)
	}

	return errors.Join(problems...)
}

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

package onlyonce

import (
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Guarantee says what may happen after a run whose outcome is unknown: its process died, its lease ended, its handler
// panicked or returned an ambiguous error.
type Guarantee = store.Guarantee

// The guarantees.
const (
	// AtMostOnce never runs again by itself. Callers are told that the outcome is unknown until the late owner, a recovery
	// function or a person settles it. It is the default.
	AtMostOnce = store.AtMostOnce
	// AtLeastOnce lets the next duplicate run again, with a higher fencing token, at most MaxAttempts times. It is for
	// handlers that are themselves idempotent.
	AtLeastOnce = store.AtLeastOnce
	// ExactlyOnce commits the handler's own rows and the record in one database transaction. It needs a store that can.
	//
	// Where a record was claimed under AtMostOnce before, that is stricter and holds: a joined run that ends ambiguously is held as
	// unknown. A single transaction is the exception. Whatever ends it without a commit, a crash included, leaves the record as it was,
	// so a key that was released under AtMostOnce can be run again after an ambiguous end, and what the handler has done outside of the
	// database can happen again.
	ExactlyOnce = store.ExactlyOnce
)

// Detachment says what happens to a run when its caller has gone.
type Detachment uint8

// The detachments. Zero is taken from the wider policy.
const (
	// Detached lets the run go on, because the retry wants its outcome. It is the default.
	Detached Detachment = iota + 1
	// Attached cancels the run's context together with the caller's.
	Attached
)

// String returns the name of the detachment.
func (d Detachment) String() string {
	switch d {
	case Detached:
		return "detached"
	case Attached:
		return "attached"
	default:
		return fmt.Sprintf("Detachment(%d)", uint8(d))
	}
}

// StoreDown says what happens to calls while the store cannot be reached.
type StoreDown uint8

// The ways to treat calls without a store. Zero is taken from the wider policy.
const (
	// FailClosed rejects the call with ReasonStoreUnavailable. It is the default.
	FailClosed StoreDown = iota + 1
	// FailOpen runs the call without protection. It is accepted only under AtLeastOnce.
	FailOpen
)

// String returns the name of the way.
func (s StoreDown) String() string {
	switch s {
	case FailClosed:
		return "fail closed"
	case FailOpen:
		return "fail open"
	default:
		return fmt.Sprintf("StoreDown(%d)", uint8(s))
	}
}

// The built-in policy.
const (
	DefaultMaxAttempts = 5
	DefaultRetention   = 24 * time.Hour
	DefaultLease       = 15 * time.Second
	DefaultMaxRun      = 25 * time.Second
	DefaultMaxWait     = 10 * time.Second
	DefaultMaxOutcome  = 1 << 20
)

// maxRetention keeps the end of a retention within what stores can count in nanoseconds since 1970. A time beyond it would
// wrap around and end at once.
const maxRetention = 100 * 365 * 24 * time.Hour

// NoWait as Policy.MaxWait answers a duplicate of a running call at once.
const NoWait time.Duration = -1

// Policy says how calls are treated. A field that is zero is taken from the wider policy: the engine's for a method, the
// built-in one for the engine.
type Policy struct {
	// Guarantee is what holds after an unknown outcome. The default is AtMostOnce.
	Guarantee Guarantee
	// TransactionMode says how a run under ExactlyOnce shares a transaction with its record. The default is SingleTransaction. Other
	// guarantees do not use it.
	TransactionMode TransactionMode
	// MaxAttempts bounds how often a key is taken over from a run that never ended, such as one whose process died: it is
	// the number of runs in a row, the first included, after which the outcome counts as unknown. The default is 5. A run
	// that ends ambiguously, by an error or a panic, gives the key back under AtLeastOnce and is not counted: how often
	// that is tried again is up to the clients. Nor is a run in a single transaction whose process dies: it leaves nothing
	// behind to count by, so that MaxAttempts does not bound a request that kills its process there. AtMostOnce does not
	// use it.
	MaxAttempts int
	// Retention is how long an outcome is kept, from completion, and a released key bound to its request, from release: at
	// least MaxRun, at most 100 years. The default is 24 hours. A record whose outcome is unknown has none.
	Retention time.Duration
	// Lease is how long a claim holds without renewal, at least a millisecond; it is renewed at a third. The default is 15
	// seconds. It bounds how long duplicates wait for an owner that has died.
	Lease time.Duration
	// MaxRun is the longest that a handler may run; then its context is cancelled and the lease is renewed no more. The
	// default is 25 seconds. It is at least as long as Lease. It counts from when the claim was sent; in a single transaction from
	// when that had begun, however long it waited for others, and for all runs together of a handler that is run again.
	MaxRun time.Duration
	// MaxWait is how long a duplicate of a running call waits for the outcome, less if its own deadline is near. The
	// default is 10 seconds; NoWait does not wait.
	MaxWait time.Duration
	// MaxOutcome is the largest outcome that is stored, in bytes. A larger one of a run reaches its own caller, is recorded as
	// done without its content, and is never executed again; so is one that a recovery function has found, and Resolve
	// refuses it. The default is 1 MiB.
	MaxOutcome int
	// Detachment says whether a run goes on when its caller has gone. The default is Detached.
	Detachment Detachment
	// StoreDown says whether a call runs without protection while the store is down. The default is FailClosed; FailOpen is accepted under
	// AtLeastOnce alone.
	StoreDown StoreDown
}

// Over returns the policy with every unset field taken from the wider policy.
func (p Policy) Over(wider Policy) Policy {
	return Policy{
		Guarantee:       set(p.Guarantee, wider.Guarantee),
		TransactionMode: set(p.TransactionMode, wider.TransactionMode),
		MaxAttempts:     set(p.MaxAttempts, wider.MaxAttempts),
		Retention:       set(p.Retention, wider.Retention),
		Lease:           set(p.Lease, wider.Lease),
		MaxRun:          set(p.MaxRun, wider.MaxRun),
		MaxWait:         set(p.MaxWait, wider.MaxWait),
		MaxOutcome:      set(p.MaxOutcome, wider.MaxOutcome),
		Detachment:      set(p.Detachment, wider.Detachment),
		StoreDown:       set(p.StoreDown, wider.StoreDown),
	}
}

func set[T comparable](value, wider T) T {
	var zero T
	if value != zero {
		return value
	}

	return wider
}

func builtinPolicy() Policy {
	return Policy{
		Guarantee:       AtMostOnce,
		TransactionMode: SingleTransaction,
		MaxAttempts:     DefaultMaxAttempts,
		Retention:       DefaultRetention,
		Lease:           DefaultLease,
		MaxRun:          DefaultMaxRun,
		MaxWait:         DefaultMaxWait,
		MaxOutcome:      DefaultMaxOutcome,
		Detachment:      Detached,
		StoreDown:       FailClosed,
	}
}

// validate reports everything that cannot hold. The policy has no unset field.
func (p Policy) validate(transactional bool) error {
	var errs []error

	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf("onlyonce: "+format, args...)) }

	if p.Guarantee > ExactlyOnce {
		complain("Guarantee is %v: give AtMostOnce, AtLeastOnce or ExactlyOnce", p.Guarantee)
	}

	if p.Guarantee == ExactlyOnce && !transactional {
		complain("Guarantee is EXACTLY_ONCE, which this store cannot hold: use a store that writes the record in the handler's transaction")
	}

	if p.TransactionMode > JoinedTransaction {
		complain("TransactionMode is %v: give SingleTransaction or JoinedTransaction", p.TransactionMode)
	}

	if p.StoreDown == FailOpen && p.Guarantee != AtLeastOnce {
		complain("StoreDown is FailOpen under %v: it may run a call twice, so it is accepted under AT_LEAST_ONCE alone", p.Guarantee)
	}

	if p.MaxAttempts < 1 {
		complain("MaxAttempts is %d: give at least 1", p.MaxAttempts)
	}

	if p.Lease < time.Millisecond {
		complain("Lease is %v: give at least a millisecond", p.Lease)
	}

	if p.MaxRun < p.Lease {
		complain("MaxRun is %v and Lease is %v: a run must be allowed to take as long as its lease", p.MaxRun, p.Lease)
	}

	if p.Retention < p.MaxRun {
		complain("Retention is %v and MaxRun is %v: keep outcomes for longer than a run takes", p.Retention, p.MaxRun)
	}

	if p.Retention > maxRetention {
		complain("Retention is %v: give at most 100 years", p.Retention)
	}

	if p.MaxWait < 0 && p.MaxWait != NoWait {
		complain("MaxWait is %v: give a positive duration, or NoWait", p.MaxWait)
	}

	if p.MaxOutcome < 0 {
		complain("MaxOutcome is %d: give a positive number of bytes", p.MaxOutcome)
	}

	if p.Detachment > Attached {
		complain("Detachment is %v: give Detached or Attached", p.Detachment)
	}

	if p.StoreDown > FailOpen {
		complain("StoreDown is %v: give FailClosed or FailOpen", p.StoreDown)
	}

	return errors.Join(errs...)
}

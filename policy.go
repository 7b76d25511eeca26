package onlyonce

import (
	"cmp"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Guarantee decides what may happen after a run whose outcome is unknown: its process died, its lease ended, or its handler panicked or
// returned an ambiguous error. Zero is taken from the wider policy.
type Guarantee = store.Guarantee

// The guarantees.
const (
	// AtMostOnce never runs again by itself. Callers get ReasonOutcomeUnknown until the late owner, a recovery function or an operator
	// settles the record. It is the default, for handlers with effects outside of a transaction.
	AtMostOnce = store.AtMostOnce
	// AtLeastOnce lets the next duplicate run again, with a higher fencing token. It is for handlers that are idempotent themselves.
	// Policy.MaxAttempts and Policy.Retention bound it.
	AtLeastOnce = store.AtLeastOnce
	// ExactlyOnce commits the handler's own rows and the record in one database transaction. It needs a store with transactions.
	//
	// It covers the rows of that database. Other effects of the handler can happen again, because its run can be repeated.
	//
	// A record that was claimed under AtMostOnce before keeps that stricter guarantee:
	//   - If a joined run ends ambiguously, the record is held as unknown.
	//   - A single transaction that ends without a commit, also by a crash, leaves the record as it was. So a key that was released before can
	//     run again.
	ExactlyOnce = store.ExactlyOnce
)

// Detachment decides what happens to a run when the caller leaves. A caller leaves when its context ends, by cancellation or by deadline.
type Detachment uint8

// The detachments. Zero is taken from the wider policy.
const (
	// Detached lets the run go on until MaxRun, because the retry needs its outcome. It is the default. Limits.MaxDetached bounds such runs.
	Detached Detachment = iota + 1
	// Attached cancels the run's context together with the caller's. It is invalid under AtMostOnce, because every caller that cancels
	// could leave an unknown outcome behind.
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

// StoreDown decides what happens to calls while the store cannot be reached. A store that is full, or cannot read a record, is not down.
type StoreDown uint8

// The answers to a store that is down. Zero is taken from the wider policy.
const (
	// FailClosed rejects the call with ReasonStoreUnavailable. It is the default.
	FailClosed StoreDown = iota + 1
	// FailOpen runs the call without protection: it gets StatusUnprotected, and its duplicates may run at the same time. It is invalid
	// under any guarantee but AtLeastOnce. Two kinds of calls are rejected all the same:
	//   - The store has answered an earlier claim of the call, and may have reported a run.
	//   - The key is time-ordered, and so old that it may have run long ago.
	FailOpen
)

// String returns the name of the answer.
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

// The defaults of a [Policy]. DefaultMaxOutcome is in bytes.
const (
	DefaultMaxAttempts = 5
	DefaultRetention   = 24 * time.Hour
	DefaultKeyLife     = 24 * time.Hour
	DefaultLease       = 15 * time.Second
	DefaultMaxRun      = 25 * time.Second
	DefaultMaxWait     = 10 * time.Second
	DefaultMaxOutcome  = 1 << 20
)

// The ranges in which every store and all arithmetic are correct.
const (
	// minSpan is the resolution of the stores. Databases treat a shorter timeout as no timeout.
	minSpan = time.Millisecond
	// maxSpan fits the timeouts of all databases.
	maxSpan = 24 * time.Hour
	// maxRetention keeps the end of a retention within the nanoseconds since 1970 that stores count. A later end would wrap around.
	maxRetention = 100 * 365 * 24 * time.Hour
	// maxAttempts fits the records of all stores.
	maxAttempts = 1_000_000
	// maxOutcome fits one value of all stores.
	maxOutcome = 256 << 20
	// maxRequest keeps a claim small next to what a store takes.
	maxRequest = 1 << 20
)

// KeepNoRequest as Policy.KeepRequest keeps no request. It overrides the wider policy. Zero takes the value of the wider policy.
const KeepNoRequest = -1

// NoWait as Policy.MaxWait rejects a duplicate of a running call at once, with ReasonInProgress.
const NoWait time.Duration = -1

// Policy decides how calls are treated. A field that is zero is unset. It is taken from the wider policy: the engine's for a call, and the
// defaults for the engine. [New], [Engine.Validate] and the call itself refuse a value outside of its range. Ranges include their ends.
type Policy struct {
	// Guarantee decides what may happen after an unknown outcome. The default is AtMostOnce.
	Guarantee Guarantee
	// TransactionMode is how a run under ExactlyOnce shares a transaction with its record. The default is SingleTransaction. Other
	// guarantees do not use it.
	TransactionMode TransactionMode
	// MaxAttempts bounds how often a key is taken over from a run that never ended, such as a run whose process died. It is the number of runs
	// in a row, the first included. After that many runs nobody takes the key over, and the outcome stays unknown. The default is 5; the range
	// is 1 to 1,000,000. AtMostOnce does not use it. Two kinds of runs are not counted:
	//   - A run that ends with an ambiguous error or a panic releases the key, and the count begins again. The clients decide how often they
	//     try again.
	//   - A run in a single transaction whose process dies leaves nothing behind to count by. MaxAttempts does not bound a request that
	//     kills its process there.
	MaxAttempts int
	// Retention is how long an outcome is kept after completion, and how long a released key stays bound to its request after release.
	// The default is 24 hours; the range is MaxRun to 100 years, and at most the store's unknown retention if it has one.
	//   - A record keeps the Retention that its latest run was claimed with.
	//   - A record whose outcome is unknown does not expire by Retention.
	//   - A run that may have had an effect is repeated only within Retention of the first run of its record. Later callers get
	//     ReasonOutcomeUnknown, because the records of downstream calls may have expired.
	Retention time.Duration
	// ErrorRetention is how long a recorded error without an effect is kept, such as "not found". The default is Retention; the range is
	// MaxRun to Retention. After that time the key is free, and its next call runs with any request.
	//
	// Choose a longer time than clients retry. Otherwise an operation may happen twice: a client accepts the error, sends the operation with
	// a new key, and a late retry with the old key runs, too.
	//
	// Errors that may have had an effect are kept for Retention, like answers:
	//   - Errors that are marked with Final or KeepWrites.
	//   - Errors of a run that followed a run with an unknown outcome.
	//   - Errors from Resolve or from a recovery function.
	//   - All recorded errors of Engine.Do except ErrStepUsed, because they are marked.
	//
	// Calls with time-ordered keys need an ErrorRetention of at least KeyLife, so that their keys never run again.
	ErrorRetention time.Duration
	// KeyLife is the maximum age of a time-ordered key that has no record. A call with an older key does not run: see Call.TimeOrdered.
	// Calls with other keys do not use KeyLife. The default is Retention, at most 24 hours; the range is a millisecond to Retention.
	//
	// An old key without a record may have run before: its record may have expired under an earlier, shorter Retention. So change KeyLife
	// and Retention in this order:
	//   - To raise KeyLife: raise Retention on all servers, wait for as long as the new KeyLife, then raise KeyLife.
	//   - To raise a Retention of less than 24 hours: set KeyLife to the old Retention first. Otherwise its default rises at once.
	//   - To lower Retention: lower KeyLife on all servers first.
	KeyLife time.Duration
	// Lease is how long a claim holds without renewal, and so how long duplicates wait for an owner that has died. The engine renews it
	// after a third of that time. A run in a single transaction has none. The default is 15 seconds; the range is a millisecond to 24 hours.
	Lease time.Duration
	// MaxRun is the longest time that a handler may run. After it, the run's context is cancelled with ErrMaxRun and the lease is not renewed
	// any more. The default is 25 seconds; the range is Lease to 24 hours.
	//   - It counts from when the claim was sent.
	//   - In a single transaction it counts from when the transaction began, after its wait for others. All runs of a repeated handler share
	//     it.
	MaxRun time.Duration
	// MaxWait is how long a duplicate of a running call waits for the outcome, before it is rejected with ReasonInProgress. If the duplicate
	// has a deadline, the wait ends 200 ms earlier, or a tenth of the duplicate's time earlier if that is less. The default is 10 seconds; the
	// range is a millisecond to 24 hours, or NoWait.
	MaxWait time.Duration
	// MaxOutcome is the size of the largest answer that is stored, in bytes. The default is 1 MiB; the range is 1 byte to 256 MiB.
	//   - The caller of the run gets a larger answer too. The record then only states that the run is done: duplicates get
	//     ReasonOutcomeNotStored, and nothing runs again.
	//   - The same holds for a larger answer that a recovery function has found. Resolve refuses it.
	MaxOutcome int
	// KeepRequest is the size of the largest request that is kept with the record until its outcome is known, in bytes: see Record.Request.
	// After a crash nobody else has the request, so a recovery function without a call needs it. The default is KeepNoRequest; the range is
	// 1 byte to 1 MiB, or KeepNoRequest.
	//   - A larger request is not kept, and its call runs all the same.
	//   - The request is in the store as it is, until the run has ended with an outcome. A sealed store encrypts it.
	//   - A run in a single transaction keeps none: its record is not visible before it has ended.
	KeepRequest int
	// Detachment decides whether a run goes on when its caller leaves. The default is Detached. Attached is invalid under AtMostOnce.
	Detachment Detachment
	// StoreDown decides whether a call runs without protection while the store is down. The default is FailClosed. FailOpen is invalid
	// under any guarantee but AtLeastOnce.
	StoreDown StoreDown
	// Shadow decides whether calls are protected, or only observed for a [ShadowReport]. The default is ShadowOff.
	Shadow ShadowMode
}

// Over returns p with every unset field taken from the wider policy. It validates nothing.
func (p Policy) Over(wider Policy) Policy {
	return Policy{
		Guarantee:       cmp.Or(p.Guarantee, wider.Guarantee),
		TransactionMode: cmp.Or(p.TransactionMode, wider.TransactionMode),
		MaxAttempts:     cmp.Or(p.MaxAttempts, wider.MaxAttempts),
		Retention:       cmp.Or(p.Retention, wider.Retention),
		ErrorRetention:  cmp.Or(p.ErrorRetention, wider.ErrorRetention),
		KeyLife:         cmp.Or(p.KeyLife, wider.KeyLife),
		Lease:           cmp.Or(p.Lease, wider.Lease),
		MaxRun:          cmp.Or(p.MaxRun, wider.MaxRun),
		MaxWait:         cmp.Or(p.MaxWait, wider.MaxWait),
		MaxOutcome:      cmp.Or(p.MaxOutcome, wider.MaxOutcome),
		KeepRequest:     cmp.Or(p.KeepRequest, wider.KeepRequest),
		Detachment:      cmp.Or(p.Detachment, wider.Detachment),
		StoreDown:       cmp.Or(p.StoreDown, wider.StoreDown),
		Shadow:          cmp.Or(p.Shadow, wider.Shadow),
	}
}

// PreparedPolicy is a policy for many calls of one engine, completed and validated once by [Engine.Prepare]. Another engine completes and
// validates it again for each call.
type PreparedPolicy struct {
	engine *Engine
	policy Policy
}

// prepare completes a policy and validates it.
func (e *Engine) prepare(p *Policy) (*PreparedPolicy, error) {
	prepared := &PreparedPolicy{engine: e, policy: p.Over(e.policy)}
	if err := prepared.policy.validate(&e.can); err != nil {
		return nil, err
	}

	return prepared, nil
}

// policyOf returns the policy of a call. Nobody modifies it.
func (e *Engine) policyOf(call *Call) (*Policy, error) {
	prepared, own := call.Prepared, call.Policy

	switch {
	case prepared == nil && own == nil:
		return &e.policy, nil
	case prepared != nil && prepared.engine == e:
		return &prepared.policy, nil
	case prepared != nil:
		own = &prepared.policy // of another engine, with another store
	}

	prepared, err := e.prepare(own)
	if err != nil {
		return nil, &misconfiguredError{fmt.Errorf("onlyonce: %s: %w", call.Method, err)}
	}

	return &prepared.policy, nil
}

// builtinPolicy returns the defaults. ErrorRetention and KeyLife have none here: theirs depend on the Retention of the narrower policy. See
// whole.
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
		KeepRequest:     KeepNoRequest,
		Detachment:      Detached,
		StoreDown:       FailClosed,
		Shadow:          ShadowOff,
	}
}

// whole sets the defaults that depend on Retention. No narrower policy can set Retention any more.
func (p Policy) whole() Policy {
	p.ErrorRetention = cmp.Or(p.ErrorRetention, p.Retention)
	p.KeyLife = cmp.Or(p.KeyLife, min(p.Retention, DefaultKeyLife))

	return p
}

// outcomeRetention is how long the outcome of a call is kept. Zero means Retention, which the record has from its claim. Only an error
// without an effect may be kept for less time: a possible effect could happen again afterwards.
func (p Policy) outcomeRetention(out *Outcome, timeOrdered bool) time.Duration {
	if out.Marked || out.KeepWrites {
		return 0
	}

	retention := out.Retention
	if retention == 0 && out.Err != nil {
		retention = p.ErrorRetention
	}

	if timeOrdered && retention > 0 {
		retention = max(retention, p.whole().KeyLife) // no key runs again: see validateTimeOrdered
	}

	if retention <= 0 || retention >= p.Retention {
		return 0
	}

	return max(retention, minSpan)
}

// validateTimeOrdered reports a policy under which a time-ordered key could run again. While a key is young enough to make a record, the
// record of its outcome must not expire.
func (p Policy) validateTimeOrdered() error {
	if p = p.whole(); p.ErrorRetention < p.KeyLife {
		return fmt.Errorf("onlyonce: invalid policy for time-ordered keys: ErrorRetention is %v and KeyLife is %v, so a key could run "+
			"again after its error has expired: give an ErrorRetention of at least KeyLife", p.ErrorRetention, p.KeyLife)
	}

	return nil
}

// validate reports everything that cannot hold on a store. No field of the policy is unset, except ErrorRetention and KeyLife.
func (p Policy) validate(can *store.Capabilities) error {
	c := complaints{about: "invalid policy"}

	choice(&c, "Guarantee", p.Guarantee, ExactlyOnce, "AtMostOnce, AtLeastOnce or ExactlyOnce")
	choice(&c, "TransactionMode", p.TransactionMode, JoinedTransaction, "SingleTransaction or JoinedTransaction")
	choice(&c, "Detachment", p.Detachment, Attached, "Detached or Attached")
	choice(&c, "StoreDown", p.StoreDown, FailOpen, "FailClosed or FailOpen")
	choice(&c, "Shadow", p.Shadow, ShadowOn, "ShadowOff or ShadowOn")
	p.validateGuarantee(&c, can)

	within(&c, "MaxAttempts", p.MaxAttempts, 1, maxAttempts)
	within(&c, "MaxOutcome", p.MaxOutcome, 1, maxOutcome)
	within(&c, "Lease", p.Lease, minSpan, maxSpan)

	if p.KeepRequest != KeepNoRequest && (p.KeepRequest < 1 || p.KeepRequest > maxRequest) {
		c.addf("KeepRequest is %d: give 1 to %d bytes, or KeepNoRequest", p.KeepRequest, maxRequest)
	}

	if p.MaxRun < p.Lease || p.MaxRun > maxSpan {
		c.addf("MaxRun is %v: give at least Lease, which is %v, and at most %v", p.MaxRun, p.Lease, maxSpan)
	}

	if p.MaxWait != NoWait && (p.MaxWait < minSpan || p.MaxWait > maxSpan) {
		c.addf("MaxWait is %v: give %v to %v, or NoWait", p.MaxWait, minSpan, maxSpan)
	}

	p.validateRetention(&c, can.UnknownRetention)

	return c.join()
}

// validateGuarantee reports what does not go together with the guarantee.
func (p Policy) validateGuarantee(c *complaints, can *store.Capabilities) {
	if p.Guarantee == ExactlyOnce && can.Transactional == nil {
		c.addf("Guarantee is EXACTLY_ONCE, and this store has no transactions: use a store that has them, such as sqlstore")
	}

	if p.StoreDown == FailOpen && p.Guarantee != AtLeastOnce {
		c.addf("StoreDown is FailOpen under %v, so that a call could run twice: give AtLeastOnce, or FailClosed", p.Guarantee)
	}

	if p.Detachment == Attached && p.Guarantee == AtMostOnce {
		c.addf("Detachment is Attached under AT_MOST_ONCE, so that every caller that cancels could leave an unknown outcome behind: " +
			"give Detached, or another guarantee")
	}
}

// validateRetention reports retentions and key lives that end too early or too late.
func (p Policy) validateRetention(c *complaints, unknown time.Duration) {
	if p.Retention < p.MaxRun || p.Retention > maxRetention {
		c.addf("Retention is %v: give at least MaxRun, which is %v, and at most 100 years", p.Retention, p.MaxRun)
	}

	if p.ErrorRetention != 0 && (p.ErrorRetention < p.MaxRun || p.ErrorRetention > p.Retention) {
		c.addf("ErrorRetention is %v: give at least MaxRun, which is %v, and at most Retention, which is %v",
			p.ErrorRetention, p.MaxRun, p.Retention)
	}

	if p.KeyLife != 0 && (p.KeyLife < minSpan || p.KeyLife > p.Retention) {
		c.addf("KeyLife is %v: give %v to Retention, which is %v", p.KeyLife, minSpan, p.Retention)
	}

	// The key of an unknown record that has expired runs again.
	if unknown != 0 && p.Retention > unknown {
		c.addf("Retention is %v, and this store removes records whose outcome is unknown after %v, so that their keys could run again: "+
			"give a Retention of at most %v, or give the store a longer unknown retention", p.Retention, unknown, unknown)
	}
}

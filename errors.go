package onlyonce

import (
	"errors"
	"time"
)

// Reason says why a call was rejected. Its values are the contract with clients in every language. A Reason is an error,
// so that a rejection can be recognised:
//
//	if errors.Is(err, onlyonce.ReasonInProgress) { … }
type Reason string

// The reasons for which a call is rejected.
const (
	// ReasonKeyMissing means that the method requires a key and the call has none.
	ReasonKeyMissing Reason = "IDEMPOTENCY_KEY_MISSING"
	// ReasonKeyInvalid means that the key breaks the key rules, or that several differing keys were sent.
	ReasonKeyInvalid Reason = "IDEMPOTENCY_KEY_INVALID"
	// ReasonKeyReused means that the key belongs to another request.
	ReasonKeyReused Reason = "IDEMPOTENCY_KEY_REUSED"
	// ReasonKeyExpired means that the key is time-ordered, that there is no record of it, and that it is so old that there may have
	// been one: nothing runs under it any more.
	ReasonKeyExpired Reason = "IDEMPOTENCY_KEY_EXPIRED"
	// ReasonInProgress means that another call with the key is running and the wait for it is over.
	ReasonInProgress Reason = "IDEMPOTENCY_IN_PROGRESS"
	// ReasonLeaseLost means that this run was overtaken by another, which has no outcome yet, or that its claim was answered
	// too late for it to begin.
	ReasonLeaseLost Reason = "IDEMPOTENCY_LEASE_LOST"
	// ReasonOutcomeUnknown means that an earlier run did not end in a known way and must not be repeated.
	ReasonOutcomeUnknown Reason = "IDEMPOTENCY_OUTCOME_UNKNOWN"
	// ReasonOutcomeNotStored means that an earlier run has finished and its answer was too large to keep.
	ReasonOutcomeNotStored Reason = "IDEMPOTENCY_OUTCOME_NOT_STORED"
	// ReasonStoreUnavailable means that the store could not be reached before anything ran.
	ReasonStoreUnavailable Reason = "IDEMPOTENCY_STORE_UNAVAILABLE"
	// ReasonStoreFull means that a bound was reached before anything ran.
	ReasonStoreFull Reason = "IDEMPOTENCY_STORE_FULL"
	// ReasonScopeMissing means that the caller could not be told apart from others.
	ReasonScopeMissing Reason = "IDEMPOTENCY_SCOPE_MISSING"
	// ReasonRecordUnreadable means that the stored record is damaged.
	ReasonRecordUnreadable Reason = "IDEMPOTENCY_RECORD_UNREADABLE"
	// ReasonRecordNewer means that the record was written by a newer build.
	ReasonRecordNewer Reason = "IDEMPOTENCY_RECORD_NEWER"
)

// Error returns the reason.
func (r Reason) Error() string { return string(r) }

// Rejection is the error of a call that was answered without an outcome of its own. Nothing was executed by this call, unless
// it was overtaken or its outcome was settled by somebody else: ReasonLeaseLost, ReasonOutcomeUnknown, ReasonOutcomeNotStored.
type Rejection struct {
	// Reason says why.
	Reason Reason
	// Message is one sentence for a person, and says what to do.
	Message string
	// RetryAfter is how long to wait before the same key is tried again, jittered. Zero means that trying again is of
	// no use.
	RetryAfter time.Duration
	// Metadata are further facts: with ReasonOutcomeUnknown "since", a time in RFC 3339, and "original_code", the code that
	// the earlier run ended with, where it is known; with ReasonOutcomeNotStored "original_code". It may be nil.
	Metadata map[string]string
	// Cause is the error behind the rejection. It is nil where there is none, and is never sent to a caller.
	Cause error
}

// Error returns the reason, the message and the cause.
func (r *Rejection) Error() string {
	text := string(r.Reason) + ": " + r.Message
	if r.Cause != nil {
		text += ": " + r.Cause.Error()
	}

	return text
}

// Is reports whether target is the rejection's Reason.
func (r *Rejection) Is(target error) bool {
	reason, ok := target.(Reason)

	return ok && reason == r.Reason
}

// Unwrap returns the cause.
func (r *Rejection) Unwrap() error { return r.Cause }

// Verdict implements the interface that [VerdictOf] looks for.
func (r *Rejection) Verdict() Verdict {
	switch r.Reason {
	case ReasonKeyMissing, ReasonKeyInvalid, ReasonKeyReused, ReasonKeyExpired:
		return VerdictFinal
	case ReasonScopeMissing, ReasonInProgress, ReasonLeaseLost, ReasonOutcomeUnknown, ReasonOutcomeNotStored, ReasonStoreUnavailable,
		ReasonStoreFull, ReasonRecordUnreadable, ReasonRecordNewer:
		return VerdictUnknown
	default:
		return VerdictUnknown
	}
}

// ErrOwnKey means that a run was called again with its own key, and would wait for itself.
var ErrOwnKey = errors.New("onlyonce: a run was called again with its own key: is the interceptor installed twice, " +
	"or does the handler call itself?")

// The causes with which a run's context is cancelled; see context.Cause.
var (
	// ErrMaxRun means that the run took longer than Policy.MaxRun.
	ErrMaxRun = errors.New("onlyonce: the run took longer than MaxRun")
	// ErrLeaseLost means that another run may take over, or has: the lease could not be renewed in time, or the record
	// belongs to somebody else or is gone.
	ErrLeaseLost = errors.New("onlyonce: the lease of this run is lost")
	// ErrDraining means that Drain ran out of time before the run ended.
	ErrDraining = errors.New("onlyonce: the engine is draining and its time is up")
)

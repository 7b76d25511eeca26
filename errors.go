package onlyonce

import (
	"errors"
	"time"
)

// Reason is why a call was rejected. Its values are the contract with clients in every language; docs/contract.md has the code of each over
// gRPC and HTTP. A Reason is an error, so that errors.Is recognises a rejection:
//
//	if errors.Is(err, onlyonce.ReasonInProgress) { … }
//
// [Rejection].RetryAfter decides whether another try with the same key can help, and [VerdictOf] whether a new key may be used.
type Reason string

// The reasons for which a call is rejected.
const (
	// ReasonKeyMissing means that the method requires a key and the call has no key. Engine.Do always requires a key.
	ReasonKeyMissing Reason = "IDEMPOTENCY_KEY_MISSING"
	// ReasonNotSupported means that the call has a key, or its method requires a key, and the transport cannot protect the call: it is a
	// stream, or its messages cannot be recorded. Nothing was executed, and every other attempt gets the same answer.
	ReasonNotSupported Reason = "IDEMPOTENCY_NOT_SUPPORTED"
	// ReasonKeyInvalid means that the key breaks the key rules, that a time-ordered key is from the future, or that several differing keys
	// were sent.
	ReasonKeyInvalid Reason = "IDEMPOTENCY_KEY_INVALID"
	// ReasonKeyReused means that the key belongs to another request, whatever became of that request: see Rejection.Metadata.
	ReasonKeyReused Reason = "IDEMPOTENCY_KEY_REUSED"
	// ReasonKeyExpired means that the key is time-ordered and too old to run, and that there is no record of it. The record may have
	// expired.
	ReasonKeyExpired Reason = "IDEMPOTENCY_KEY_EXPIRED"
	// ReasonInProgress means that another call with the key is running, and that this call waits no longer, or may not wait.
	ReasonInProgress Reason = "IDEMPOTENCY_IN_PROGRESS"
	// ReasonLeaseLost means that this run has no answer that counts:
	//   - Another run has overtaken it, and has no outcome yet.
	//   - The answer to its claim came too late for it to begin.
	//   - No record shows that its transaction has committed.
	ReasonLeaseLost Reason = "IDEMPOTENCY_LEASE_LOST"
	// ReasonOutcomeUnknown means that the outcome of an earlier run is unknown, and that the run must not be repeated.
	ReasonOutcomeUnknown Reason = "IDEMPOTENCY_OUTCOME_UNKNOWN"
	// ReasonOutcomeNotStored means that an earlier run has finished and its answer was too large to keep. The call never runs again.
	ReasonOutcomeNotStored Reason = "IDEMPOTENCY_OUTCOME_NOT_STORED"
	// ReasonStoreUnavailable means that this call has no outcome, for one of these causes:
	//   - The store could not be reached before anything ran.
	//   - The store has not acknowledged too many earlier settlements: see Limits.MaxPending.
	//   - The engine is draining.
	//   - The single transaction of the run was rolled back, because the database failed or other transactions conflicted with it.
	ReasonStoreUnavailable Reason = "IDEMPOTENCY_STORE_UNAVAILABLE"
	// ReasonStoreFull means that a bound was reached before anything ran: that of the store, or Limits.MaxDetached.
	ReasonStoreFull Reason = "IDEMPOTENCY_STORE_FULL"
	// ReasonScopeMissing means that the caller has no scope, so that nothing distinguishes it from others. Only transports reject with it.
	ReasonScopeMissing Reason = "IDEMPOTENCY_SCOPE_MISSING"
	// ReasonRecordUnreadable means that the stored record is damaged. Engine.ForceForget removes it.
	ReasonRecordUnreadable Reason = "IDEMPOTENCY_RECORD_UNREADABLE"
	// ReasonRecordNewer means that the record was written by a newer build, or is sealed with an encryption key that this process does not
	// have.
	ReasonRecordNewer Reason = "IDEMPOTENCY_RECORD_NEWER"
)

// Error returns the reason.
func (r Reason) Error() string { return string(r) }

// Rejection is the error of a call that was answered without an outcome. The handler did not run for this call, except in these cases:
//   - ReasonLeaseLost, ReasonOutcomeUnknown, ReasonOutcomeNotStored, ReasonRecordUnreadable and ReasonRecordNewer: the handler may have
//     run. Then another run has overtaken it, somebody else has settled its outcome, or no record shows its commit.
//   - ReasonStoreUnavailable: the handler may have run in a single transaction that was rolled back.
type Rejection struct {
	// Reason is why the call was rejected.
	Reason Reason
	// Message is one sentence for a person, with what to do.
	Message string
	// RetryAfter is how long to wait before the next try with the same key. Zero means that another try is of no use. Otherwise it is one of
	// these times, spread at random by half either way:
	//   - 500 ms for ReasonInProgress and ReasonLeaseLost
	//   - 1 s for ReasonStoreUnavailable
	//   - 2 s for ReasonStoreFull and ReasonRecordNewer
	//   - 1 minute for ReasonOutcomeUnknown
	RetryAfter time.Duration
	// Metadata are further facts. It may be nil.
	//   - "first" comes with ReasonKeyReused. It is the state of the first request with the key: "completed", "running", "unknown" or
	//     "released".
	//   - "since" comes with ReasonOutcomeUnknown. It is the time since when the outcome is unknown, in RFC 3339.
	//   - "original_code" comes with ReasonOutcomeNotStored, and with ReasonOutcomeUnknown if it is known. It is the code that the earlier
	//     run ended with.
	Metadata map[string]string
	// Retention comes with ReasonOutcomeNotStored. It is how long the record is kept after the end of its run.
	Retention time.Duration
	// Cause is the error behind the rejection, such as an error of the store, or nil. It is for operators: the text of Error does not have
	// it, and no transport sends it to a caller.
	Cause error
}

// Error returns the reason and the message. The text may be sent to callers.
func (r *Rejection) Error() string { return string(r.Reason) + ": " + r.Message }

// Is reports whether target is the rejection's Reason.
func (r *Rejection) Is(target error) bool {
	reason, ok := target.(Reason)

	return ok && reason == r.Reason
}

// Unwrap returns the cause.
func (r *Rejection) Unwrap() error { return r.Cause }

// Verdict returns VerdictFinal for ReasonKeyMissing, ReasonNotSupported and ReasonKeyInvalid. Otherwise it returns VerdictUnknown: the key
// may have been used for an operation, and a new key might repeat it. [VerdictOf] calls it.
func (r *Rejection) Verdict() Verdict {
	switch r.Reason {
	case ReasonKeyMissing, ReasonNotSupported, ReasonKeyInvalid:
		return VerdictFinal
	case ReasonKeyReused, ReasonKeyExpired, ReasonScopeMissing, ReasonInProgress, ReasonLeaseLost, ReasonOutcomeUnknown,
		ReasonOutcomeNotStored, ReasonStoreUnavailable, ReasonStoreFull, ReasonRecordUnreadable, ReasonRecordNewer:
		return VerdictUnknown
	default:
		return VerdictUnknown
	}
}

// The errors of a call that its own handler makes in the wrong place: errors in the program.
var (
	// ErrOwnKey means that a handler has made a call with the identity of its own run. The call would wait for itself. Nothing was
	// executed.
	ErrOwnKey = errors.New("onlyonce: a call with the key of its own run would wait for itself: " +
		"the interceptor is installed twice, or the handler calls itself; install it once, and give the handler's calls keys of their own")
	// ErrInTransaction means that a keyed call was made inside a transaction on its own store: by the handler of a run in a single
	// transaction, or inside sqlstore.InTx. The call might wait for that very transaction. Nothing was executed.
	ErrInTransaction = errors.New("onlyonce: a keyed call inside a transaction on the same store might wait for that transaction: " +
		"make the call before or after it; a handler in a single transaction needs JoinedTransaction for that")
)

package onlyonce

import (
	"context"

	"github.com/onlyonce-go/onlyonce/store"
)

// Call is one attempt at a keyed call.
type Call struct {
	// Scope, Method and Key are the identity of the call. Scope separates callers who must not see each other's answers;
	// it is empty where all callers share. Key is 1 to 255 printable ASCII characters, Scope and Method are any bytes. Do not
	// build Method from client input: it appears in records and events. A call without a key is rejected with ReasonKeyMissing.
	Scope, Method, Key string
	// TimeOrdered declares that Key is a UUID of version 7, as NewKey makes them, and that its time counts:
	//   - A key that is older than Policy.KeyLife less a tolerance makes no record. With a record, the call is treated as any other.
	//   - Without a record, such a call is rejected with ReasonKeyExpired: it may have run, and its record may have expired.
	//   - The tolerance is 10 minutes, or half of the key life where that is less.
	//   - A key of another form, or further in the future than the tolerance, is rejected with ReasonKeyInvalid.
	TimeOrdered bool
	// Fingerprint distinguishes requests. If it is zero, it is made from Request.
	Fingerprint store.Fingerprint
	// Request is the request's bytes, in a form that does not change between attempts. If Fingerprint is zero, it is made from them, and
	// nil means that all calls with the key count as the same request. The bytes are copied into the record if the policy's KeepRequest
	// says so.
	Request []byte
	// Policy overrides the engine's policy, field by field; nil overrides nothing.
	Policy *Policy
	// Prepared is used instead of Policy if it is not nil. It saves the completion and the validation of the policy for each call: see
	// Engine.Prepare.
	Prepared *PreparedPolicy
	// ReplayCheck decides whether this call may get the outcome of another call. Its error is the call's answer. Nil allows all.
	//   - The handler's own checks do not run for a replay, so ReplayCheck has to refuse what the handler would refuse.
	//   - It is called before the call gets such an outcome or waits for it. If the call's run was overtaken, it is called before the
	//     caller gets the outcome of the other run.
	//   - It is called on the caller's goroutine, at most once.
	ReplayCheck func(ctx context.Context) error
	// Recover finds out what became of a run whose outcome is unknown. Nil means that nobody can. See RecoverFunc for when it is called.
	//   - It needs a store that can settle records: see Engine.CanResolve.
	//   - It is called on another goroutine, and may still be at work when this call has returned.
	Recover RecoverFunc
	// Outcome classifies an answer of the handler before the handler returns it: response and err are the results that the handler is
	// about to return.
	//   - A run under ExactlyOnce needs it: see JoinedTransaction.
	//   - In a single transaction, it classifies the error of a database that refuses to commit.
	//   - It may be called from any goroutine of the handler, but not by two at a time.
	Outcome func(response any, err error) Outcome
}

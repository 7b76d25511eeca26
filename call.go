package onlyonce

import (
	"context"

	"github.com/onlyonce-go/onlyonce/store"
)

// Call is one attempt at a keyed call. Every attempt has the same identity and request.
type Call struct {
	// Scope, Method and Key are the identity of the call.
	//   - Scope separates callers who must not see each other's answers. It is any bytes, and empty if all callers share.
	//   - Method is any bytes. It appears in records and events, so do not build it from client input.
	//   - Key is 1 to 255 printable ASCII characters. An empty key is rejected with ReasonKeyMissing.
	Scope, Method, Key string
	// TimeOrdered declares that Key is a UUID of version 7, as NewKey makes them, and that its time counts:
	//   - A key is old if its age exceeds Policy.KeyLife minus the tolerance. An old key makes no record. If it has a record, its call is
	//     treated as any other. Otherwise the call is rejected with ReasonKeyExpired: an earlier call may have run, and its record may have
	//     expired.
	//   - A key of another form, or further in the future than the tolerance, is rejected with ReasonKeyInvalid.
	//   - The tolerance is 10 minutes, or half of the key life if that is less.
	TimeOrdered bool
	// Fingerprint distinguishes requests. If its Scheme is zero, it is made from Request.
	Fingerprint store.Fingerprint
	// Request is the bytes of the request, in a form that does not change between attempts. The fingerprint is their SHA-256, unless
	// Fingerprint is set. If both are unset, all calls with the key count as the same request. The record keeps a copy of the bytes if
	// Policy.KeepRequest allows it.
	Request []byte
	// Policy overrides the engine's policy, field by field; nil overrides nothing.
	Policy *Policy
	// Prepared is used instead of Policy if it is not nil. It saves completing and validating the policy for each call: see Engine.Prepare.
	Prepared *PreparedPolicy
	// ReplayCheck decides whether this call may get the outcome of another call. If it returns an error, the call ends with this error. Nil
	// allows every replay.
	//   - The handler's own checks do not run for a replay, so ReplayCheck has to refuse what the handler would refuse.
	//   - It is called before the call gets such an outcome or waits for it. If the call's run was overtaken, it is called before the
	//     caller gets the outcome of the other run.
	//   - It is called on the caller's goroutine, with the caller's context, at most once.
	ReplayCheck func(ctx context.Context) error
	// Recover finds out what became of a run whose outcome is unknown. Nil means that the call finds out nothing. See RecoverFunc.
	//   - It needs a store that can settle records, and is not called otherwise: see Engine.CanResolve.
	//   - It is called on another goroutine, and may still be at work when this call has returned.
	Recover RecoverFunc
	// Outcome classifies results before the handler returns them. It is for transports that call Engine.Execute; Engine.Do sets it.
	//   - A joined run needs it. Without it, the handler cannot write its completion in its own transaction.
	//   - In a single transaction, it classifies the error of a database that refuses to commit. If it is nil, that error is ambiguous.
	//   - It may be called from any goroutine of the handler, but not by two at a time.
	Outcome func(response any, err error) Outcome
}

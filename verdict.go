package onlyonce

import "fmt"

// Verdict is what an error means for the key of a call: whether the caller may use a new key. [VerdictOf] returns it.
type Verdict uint8

// The verdicts.
const (
	// VerdictUnknown means that the effect may have happened or may still happen. Never use a new key. It is the zero value, so an error
	// of unknown origin is VerdictUnknown.
	//   - In general, try the same key later.
	//   - After ReasonKeyReused or ReasonKeyExpired the same key is of no use. Find out whether the first request with the key took effect.
	VerdictUnknown Verdict = iota
	// VerdictFinal means that the answer will not change, and another try with the same key is of no use. A new key is a new operation.
	VerdictFinal
	// VerdictNotExecuted means that this call had no effect and will have none. Try again with the same key. A new key is safe only if nobody
	// else uses the key of this call:
	//   - If the key was made for this call alone, a new key is safe.
	//   - If the key is from the business, such as an order's number, another process may be using it, or may have used it before.
	VerdictNotExecuted
)

// String returns the name of the verdict.
func (v Verdict) String() string {
	switch v {
	case VerdictUnknown:
		return "unknown"
	case VerdictFinal:
		return "final"
	case VerdictNotExecuted:
		return "not executed"
	default:
		return fmt.Sprintf("Verdict(%d)", uint8(v))
	}
}

// verdicter is an error of a call that knows what it means for the key.
type verdicter interface {
	error
	Verdict() Verdict
}

// VerdictOf returns what an error of a call means for its key. It understands the errors of the client interceptor and of [Engine.Do],
// also if they are wrapped. The verdict of nil is VerdictFinal. The verdict of any other error is VerdictUnknown.
//   - If errors of several calls are joined and one of them is VerdictUnknown, the whole is VerdictUnknown. Otherwise, if one is
//     VerdictFinal, the whole is VerdictFinal.
//   - An error that a gRPC handler marked [Final] may have a code that errors between server and client have too: CANCELLED, UNKNOWN,
//     DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED or INTERNAL. A client cannot distinguish the first such answer from them: it is
//     VerdictUnknown. The replay of the answer is VerdictFinal.
func VerdictOf(err error) Verdict {
	if err == nil {
		return VerdictFinal
	}

	outcome, _ := verdictIn(err)

	return outcome
}

// verdictIn is the verdict of the calls whose errors are in err, if there is one.
func verdictIn(err error) (outcome Verdict, found bool) {
	switch e := err.(type) { //nolint:errorlint // this walks by itself, and does not look into the errors of calls
	case verdicter:
		return e.Verdict(), true
	case interface{ Unwrap() error }:
		return verdictIn(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, branch := range e.Unwrap() {
			own, ok := verdictIn(branch)

			switch {
			case ok && found:
				outcome = min(outcome, own) // they are in this order
			case ok:
				outcome, found = own, true
			}
		}
	}

	return outcome, found
}

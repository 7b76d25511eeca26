package onlyonce

import "fmt"

// Verdict answers the question of a caller whose call has failed: may I try this with a new key?
type Verdict uint8

// The verdicts.
const (
	// VerdictUnknown means that the effect may have happened or may still happen: never use a new key, try the same
	// key later. It is the zero value, because an error that nobody can explain means just that.
	VerdictUnknown Verdict = iota
	// VerdictFinal means that the answer will not change. A new key is a new operation.
	VerdictFinal
	// VerdictNotExecuted means that nothing happened. The same key or a new one may be tried.
	VerdictNotExecuted
)

// String returns the name of the outcome.
func (o Verdict) String() string {
	switch o {
	case VerdictUnknown:
		return "unknown"
	case VerdictFinal:
		return "final"
	case VerdictNotExecuted:
		return "not executed"
	default:
		return fmt.Sprintf("Verdict(%d)", uint8(o))
	}
}

// verdicter is an error of a call that knows what it means for the key.
type verdicter interface {
	error
	Verdict() Verdict
}

// VerdictOf says what an error of a call means for its key. It understands the errors of the client interceptor and of
// [Engine.Do], also where they are wrapped. A nil error is VerdictFinal, an error from anywhere else is VerdictUnknown. Where
// errors of several calls are joined, one that is VerdictUnknown makes all of it so, and one that is VerdictFinal makes the rest
// VerdictFinal.
//
// Where a first answer marked [Final] has a code that an error on its way may have as well (CANCELLED, UNKNOWN,
// DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL), a client cannot tell them apart: it is VerdictUnknown, and VerdictFinal
// once it is asked for again with the same key.
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

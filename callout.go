package onlyonce

import "fmt"

// CallOutcome answers the question of a caller whose call has failed: may I try this with a new key?
type CallOutcome uint8

// The outcomes of a call, as its caller sees it.
const (
	// OutcomeUnknown means that the effect may have happened or may still happen: never use a new key, try the same
	// key later. It is the zero value, because an error that nobody can explain means just that.
	OutcomeUnknown CallOutcome = iota
	// OutcomeFinal means that the answer will not change. A new key is a new operation.
	OutcomeFinal
	// OutcomeNotExecuted means that nothing happened. The same key or a new one may be tried.
	OutcomeNotExecuted
)

// String returns the name of the outcome.
func (o CallOutcome) String() string {
	switch o {
	case OutcomeUnknown:
		return "unknown"
	case OutcomeFinal:
		return "final"
	case OutcomeNotExecuted:
		return "not executed"
	default:
		return fmt.Sprintf("CallOutcome(%d)", uint8(o))
	}
}

// outcomer is an error of a call that knows what it means for the key.
type outcomer interface {
	error
	CallOutcome() CallOutcome
}

// OutcomeOf says what an error of a call means for its key. It understands the errors of the client interceptor and of
// [Engine.Do], also where they are wrapped. A nil error is OutcomeFinal, an error from anywhere else is OutcomeUnknown. Where
// errors of several calls are joined, one that is OutcomeUnknown makes all of it so, and one that is OutcomeFinal makes the rest
// OutcomeFinal.
//
// Where a first answer marked [Final] has a code that an error on its way may have as well (CANCELLED, UNKNOWN,
// DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL), a client cannot tell them apart: it is OutcomeUnknown, and OutcomeFinal
// once it is asked for again with the same key.
func OutcomeOf(err error) CallOutcome {
	if err == nil {
		return OutcomeFinal
	}

	outcome, _ := outcomeIn(err)

	return outcome
}

// outcomeIn is the outcome of the calls whose errors are in err, if there is one.
func outcomeIn(err error) (outcome CallOutcome, found bool) {
	switch e := err.(type) { //nolint:errorlint // this walks by itself, and does not look into the errors of calls
	case outcomer:
		return e.CallOutcome(), true
	case interface{ Unwrap() error }:
		return outcomeIn(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, branch := range e.Unwrap() {
			own, ok := outcomeIn(branch)

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

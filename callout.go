package onlyonce

import (
	"errors"
	"fmt"
)

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

// OutcomeOf says what an error of a call means for its key. It understands the errors of the client interceptor and of
// [Engine.Do]. A nil error is OutcomeFinal, an error from anywhere else is OutcomeUnknown.
//
// Where a first answer marked [Final] has a code that an error on its way may have as well (CANCELLED, UNKNOWN,
// DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL), a client cannot tell them apart: it is OutcomeUnknown, and OutcomeFinal
// once it is asked for again with the same key.
func OutcomeOf(err error) CallOutcome {
	if err == nil {
		return OutcomeFinal
	}

	if known, ok := errors.AsType[interface {
		error
		CallOutcome() CallOutcome
	}](err); ok {
		return known.CallOutcome()
	}

	return OutcomeUnknown
}

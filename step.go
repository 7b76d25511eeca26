package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrStepUsed means that a run has called a method twice with one derived key, for example to poll. If these are two calls, name them with
// [WithStep]. Nothing was sent, so the outcome is not unknown: a handler that returns the error, also wrapped, ends with a definite error.
var ErrStepUsed = errors.New("onlyonce: a run has used this method under its derived key already")

// stepKey finds the name of a step in a context.
type stepKey struct{}

// WithStep names a step of a run: the calls that are made with the context have keys of their own. A run that calls a method for each
// line of an order names each of them:
//
//		resp, err := stock.Reserve(onlyonce.WithStep(ctx, "line-7"), req)
//
//	  - The name has to be the same when the handler runs again. Make it from the request, never from the time, a random number or the
//	    order of goroutines.
//	  - The empty name is no name.
//	  - A step belongs to the run in which it is named. A name from outside of the run has no effect inside.
func WithStep(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, stepKey{}, name)
}

// steps is what a run has called under derived keys. A key that is derived again is the same one, so that a second call would be
// answered with the response of the first, or refused as KEY_REUSED.
type steps struct {
	mu   sync.Mutex
	used map[step]*stepState
}

type step struct {
	method, name string
	key          string // of a call whose key is not derived
}

type stepState uint8

const (
	stepOpen         stepState = iota // it was not called yet, or its last call has failed for good
	stepCalling                       // it is being called
	stepCallingAgain                  // it is being called after a call in doubt
	stepInDoubt                       // its last call has failed, and may have had its effect
	stepDone                          // a call of it has succeeded
)

// enter begins a step, or returns why not.
func (s *steps) enter(at step) (*stepState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	state, ok := s.used[at]
	if !ok {
		if s.used == nil {
			s.used = make(map[step]*stepState)
		}

		state = new(stepState)
		s.used[at] = state
	}

	switch *state {
	case stepOpen:
		*state = stepCalling

		return state, nil
	case stepInDoubt:
		*state = stepCallingAgain

		return state, nil
	case stepCalling, stepCallingAgain:
		return nil, at.refused("is calling %s at this moment")
	case stepDone:
		return nil, at.refused("has called %s with success")
	default:
		return nil, at.refused("has called %s")
	}
}

// note begins a call whose key is not derived: whoever has chosen the key may call as often as it likes.
func (s *steps) note(at step) *stepState {
	s.mu.Lock()
	defer s.mu.Unlock()

	state, ok := s.used[at]
	if !ok {
		if s.used == nil {
			s.used = make(map[step]*stepState)
		}

		state = new(stepState)
		s.used[at] = state
	}

	if *state == stepInDoubt || *state == stepCallingAgain {
		*state = stepCallingAgain
	} else {
		*state = stepCalling
	}

	return state
}

// refused says what to do; what is a sentence about the run, with a place for the method.
func (at step) refused(what string) error {
	again, name := "name them", "line-7"
	if at.name != "" {
		again, name = fmt.Sprintf("both are step %q; name them apart", at.name), at.name+"-2"
	}

	return &stepError{text: fmt.Sprintf("%v: it "+what+", and a second call would have the same key, so nothing was sent; "+
		"if these are two calls, %s, as in onlyonce.WithStep(ctx, %q)", ErrStepUsed, at.method, again, name)}
}

// stepError is an ErrStepUsed. Nothing was sent, so the refused call was not executed.
type stepError struct{ text string }

func (e *stepError) Error() string    { return e.text }
func (e *stepError) Unwrap() error    { return ErrStepUsed }
func (e *stepError) Verdict() Verdict { return VerdictNotExecuted }

// end records how a call of a step has ended.
func (s *steps) end(state *stepState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	switch {
	case err == nil:
		*state = stepDone
	case VerdictOf(err) == VerdictUnknown, *state == stepCallingAgain && !settles(err):
		*state = stepInDoubt
	default:
		*state = stepOpen
	}
}

// open reports whether the effect of a step is not known: its call is still under way, or has failed in a way that leaves it open.
func (s *steps) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, state := range s.used {
		if *state == stepCalling || *state == stepCallingAgain || *state == stepInDoubt {
			return true
		}
	}

	return false
}

// settles reports whether an error shows what became of earlier tries of the same call. Only a recorded answer does: that nothing ran, or
// that the key was refused, is about the last try alone.
func settles(err error) bool {
	for _, refused := range []Reason{ReasonKeyMissing, ReasonNotSupported, ReasonKeyInvalid} {
		if errors.Is(err, refused) {
			return false
		}
	}

	return VerdictOf(err) == VerdictFinal
}

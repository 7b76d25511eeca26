package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrStepUsed means that a run has called a method twice with one derived key, for example to poll. Nothing was sent for the second call.
// If these are two calls, name them with [WithStep]. If a handler returns this error, also wrapped, the outcome is definite: the error is
// recorded.
var ErrStepUsed = errors.New("onlyonce: a run has used this method under its derived key already")

// stepKey finds the name of a step in a context.
type stepKey struct{}

// WithStep returns a context for one step of a run. The calls that are made with it have derived keys of their own. A run that calls a
// method for each line of an order names each of them:
//
//	resp, err := stock.Reserve(onlyonce.WithStep(ctx, "line-7"), req)
//
// These rules hold for names:
//   - The name has to be the same when the handler runs again. Make it from the request, never from the time, a random number or the
//     order of goroutines.
//   - The empty name is no name.
//   - A step belongs to the run in which it is named. A name from outside of the run has no effect inside.
func WithStep(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, stepKey{}, name)
}

// steps records the calls of a run to other services. A key that is derived twice is the same key, so a second call would get the answer of
// the first, or KEY_REUSED.
type steps struct {
	mu   sync.Mutex
	used map[step]*stepState
}

type step struct {
	method, name string
	key          string // of a call whose key is not derived
}

// stepState is what a run knows about the calls of a step.
type stepState struct {
	calls   int  // under way; several only under a key that is not derived
	inDoubt bool // a call has failed and may have had its effect
	done    bool // a call has succeeded
}

// of returns the state of a step. The caller holds the lock.
func (s *steps) of(at step) *stepState {
	state := s.used[at]
	if state == nil {
		if s.used == nil {
			s.used = make(map[step]*stepState)
		}

		state = new(stepState)
		s.used[at] = state
	}

	return state
}

// enter begins a call under a derived key. The error is ErrStepUsed.
func (s *steps) enter(at step) (*stepState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	state := s.of(at)

	switch {
	case state.calls > 0:
		return nil, at.refused("is calling %s at this moment")
	case state.done:
		return nil, at.refused("has called %s with success")
	}

	state.calls++

	return state, nil
}

// note begins a call whose key is not derived. Such a call may be made any number of times.
func (s *steps) note(at step) *stepState {
	s.mu.Lock()
	defer s.mu.Unlock()

	state := s.of(at)
	state.calls++

	return state
}

// refused returns the error of a second call with one key. What is a clause about the run, with a place for the method.
func (at step) refused(what string) error {
	again, name := "name them", "line-7"
	if at.name != "" {
		again, name = fmt.Sprintf("both are step %q; name them apart", at.name), at.name+"-2"
	}

	return &stepError{text: fmt.Sprintf("%v: it "+what+", and a second call would have the same key, so nothing was sent; "+
		"if these are two calls, %s, as in onlyonce.WithStep(ctx, %q)", ErrStepUsed, at.method, again, name)}
}

// stepError is an ErrStepUsed. Nothing was sent, so the verdict is VerdictNotExecuted.
type stepError struct{ text string }

func (e *stepError) Error() string    { return e.text }
func (e *stepError) Unwrap() error    { return ErrStepUsed }
func (e *stepError) Verdict() Verdict { return VerdictNotExecuted }

// end records how a call of a step has ended.
func (s *steps) end(state *stepState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	state.calls = max(state.calls-1, 0)

	switch {
	case err == nil:
		state.done, state.inDoubt = true, false
	case VerdictOf(err) == VerdictUnknown:
		state.inDoubt = true
	case settles(err):
		state.inDoubt = false
	}
}

// open reports whether the effect of a step is not known: a call is under way, or is in doubt.
func (s *steps) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, state := range s.used {
		if state.calls > 0 || state.inDoubt {
			return true
		}
	}

	return false
}

// settles reports whether an error shows what became of earlier tries of the same call. Only a recorded answer does. A rejection of the key
// is about the last try only.
func settles(err error) bool {
	for _, refused := range []Reason{ReasonKeyMissing, ReasonNotSupported, ReasonKeyInvalid} {
		if errors.Is(err, refused) {
			return false
		}
	}

	return VerdictOf(err) == VerdictFinal
}

package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrStepUsed means that a run has called a method twice without saying that these are two calls.
var ErrStepUsed = errors.New("onlyonce: a run has used this method under its derived key already")

// stepKey finds the name of a step in a context.
type stepKey struct{}

// WithStep names a step of a run: the calls that are made with the context have keys of their own. A run that calls a method for each
// line of an order names each of them:
//
//	resp, err := stock.Reserve(onlyonce.WithStep(ctx, "line-7"), req)
//
// The name has to be the same when the handler runs again, so it is made of what the request says, never of the time, of a random
// number or of the order in which goroutines get there. The empty name is none. A step is that of the run: one that is named outside
// of it names nothing inside.
func WithStep(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, stepKey{}, name)
}

// steps is what a run has called under derived keys. A key that is derived again is the same one, so that a second call would be
// answered with the response of the first, or refused as KEY_REUSED.
type steps struct {
	mu   sync.Mutex
	used map[step]*stepState
}

type step struct{ method, name string }

type stepState uint8

const (
	stepOpen   stepState = iota // nothing is known of it yet, or its last call has failed
	stepAsking                  // it is being called
	stepDone                    // a call of it has succeeded
)

// enter begins a step, or says why not.
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
		*state = stepAsking

		return state, nil
	case stepAsking:
		return nil, at.refused("is calling %s at this moment")
	case stepDone:
		return nil, at.refused("has called %s with success")
	default:
		return nil, at.refused("has called %s")
	}
}

// refused says what to do; what is a sentence about the run, with a place for the method.
func (at step) refused(what string) error {
	again, name := "name them", "line-7"
	if at.name != "" {
		again, name = fmt.Sprintf("both are step %q; name them apart", at.name), at.name+"-2"
	}

	return fmt.Errorf("%w: it "+what+", and a second call would have the same key, so nothing was sent; if these are two calls, %s, "+
		"as in onlyonce.WithStep(ctx, %q)", ErrStepUsed, at.method, again, name)
}

// DerivedCall is a call of a run to another service, under a key that is derived from the run's.
type DerivedCall struct {
	run    *run
	digest [32]byte
	state  *stepState
}

// DeriveCall begins a call of a run to another service. Transports are built on it; the client interceptor of package interceptor
// calls it for every protected call that has no other key. A run may use a method once, or once for each name that [WithStep] has
// given, until it has failed: a repeat after an error is the same call and has the same key.
//
// Its caller makes one call, with as many attempts as it likes, and then calls End. The error matches [ErrNoRun] outside of a run, and
// [ErrStepUsed] where the method has been called with success, or is being called.
func DeriveCall(ctx context.Context, fullMethod string) (*DerivedCall, error) {
	r, ok := runOf(ctx)
	if !ok {
		return nil, ErrNoRun
	}

	made := r.x.derive(ctx, derivedForCall, fullMethod)

	state, err := r.steps.enter(step{method: fullMethod, name: made.step})
	if err != nil {
		return nil, err
	}

	return &DerivedCall{run: r, digest: made.digest(), state: state}, nil
}

// Key returns the key: 55 characters of a-z, 2-7, 1 and the hyphen, which [StrictKeys] accept.
func (c *DerivedCall) Key() string { return derivedKey(callPrefix, &c.digest) }

// UUID returns the key for a method whose keys are UUIDs: one of version 4.
func (c *DerivedCall) UUID() string { return derivedUUID(&c.digest) }

// TimeOrdered returns the key for a method whose keys are time-ordered: a UUID of version 7 with the time of the run's own key. The
// second result is false where that is none.
func (c *DerivedCall) TimeOrdered() (string, bool) {
	return derivedTimeOrdered(&c.digest, c.run.x.call.Key)
}

// End says how the call ended. After an error it may be made again, with the same key.
func (c *DerivedCall) End(err error) {
	c.run.steps.mu.Lock()
	defer c.run.steps.mu.Unlock()

	*c.state = stepDone
	if err != nil {
		*c.state = stepOpen
	}
}

package onlyonce

import (
	"context"
	"errors"
)

// ErrUnprotected is the error of RequireRun outside of a run.
var ErrUnprotected = errors.New("onlyonce: the handler must not run unprotected, and this call has no run of an engine: " +
	"send an idempotency key, and call the handler through the interceptor or the middleware of the kit")

// RequireRun returns nil in a run of an engine, and ErrUnprotected elsewhere. Call it first in a handler that must not run unprotected:
//
//	if err := onlyonce.RequireRun(ctx); err != nil {
//		return nil, err
//	}
//
// It refuses a call without a key, a call that reaches the handler past the interceptor, as in-process handlers of a gateway do, and a call
// of a method in shadow mode. A context that is derived from that of a run is in the run. A run without a record, which only
// Policy.FailOpen allows, is a run: see Run.Protected.
//
// Package interceptor and the module gateway make FAILED_PRECONDITION of ErrUnprotected. Over HTTP it is 500, because the server must
// change.
func RequireRun(ctx context.Context) error {
	if _, ok := runOf(ctx); !ok {
		return ErrUnprotected
	}

	return nil
}

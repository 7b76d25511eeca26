package onlyonce

import (
	"context"
	"errors"
)

// ErrUnprotected is the error of [RequireRun] outside of a run.
var ErrUnprotected = errors.New("onlyonce: the handler requires protection and was called without it: " +
	"send an idempotency key, call the handler through the interceptor or the middleware of the kit, and switch shadow mode off")

// RequireRun returns nil in a run of an engine, and ErrUnprotected elsewhere. Call it first in a handler that must not run unprotected:
//
//	if err := onlyonce.RequireRun(ctx); err != nil {
//		return nil, err
//	}
//
// It returns ErrUnprotected for these calls:
//   - The call has no key.
//   - The call reaches the handler past the interceptor, such as a call of a gateway's in-process handler.
//   - The method is in shadow mode. Its callers get the error as any other error of the handler.
//
// A context that is derived from the context of a run is in the run. A run without a record, which only FailOpen allows, is a run: see
// Run.Protected. Package interceptor and the module gateway answer ErrUnprotected with FAILED_PRECONDITION. Over HTTP the status is 500,
// because the server has to change.
func RequireRun(ctx context.Context) error {
	if _, ok := runOf(ctx); !ok {
		return ErrUnprotected
	}

	return nil
}

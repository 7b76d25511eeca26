package onlyonce

import (
	"context"
	"time"
)

// runKey finds the run in its context.
type runKey struct{}

// run is the context of one run of a handler, and what has to be known of it there. A handler that is executed again has another
// one, since what the run before has left behind may still use its own.
type run struct {
	context.Context //nolint:containedctx // it is the run's context

	x         *execution
	end       time.Time // when it must end
	attempt   uint32
	guarantee Guarantee // that of the execution
	steps     steps     // what the handler has called under derived keys
}

func runOf(ctx context.Context) (*run, bool) {
	r, ok := ctx.Value(runKey{}).(*run)

	return r, ok
}

// Deadline returns the end of MaxRun, which bounds the run; for a run that is not detached, the caller's deadline where
// that is earlier.
func (r *run) Deadline() (time.Time, bool) {
	end := r.end

	if deadline, ok := r.Context.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}

	return end, true
}

// Value returns the caller's values. What names one call of the caller's, its key and its step, names none of those that the run
// makes.
func (r *run) Value(key any) any {
	switch key.(type) {
	case runKey:
		return r
	case idempotencyKey, stepKey:
		return nil
	default:
		return r.Context.Value(key)
	}
}

// Run describes the run that a context belongs to.
type Run struct {
	// Scope, Method and Key are the identity of the call.
	Scope, Method, Key string
	// Fence is the fencing token: a later run of the same key has a higher one. A resource that remembers the highest
	// fence it has seen for a key can refuse an overtaken run. It compares runs of one key only. It is 0 in a run
	// without protection.
	Fence uint64
	// Attempt is 1, or more where this run has taken over from runs that never ended.
	Attempt int
	// Guarantee is the one that holds for this run.
	Guarantee Guarantee
}

// RunFromContext returns the run that a handler's context belongs to. The second result is false outside of a run. The
// fence may rise while a run goes on, so ask again rather than keep it.
func RunFromContext(ctx context.Context) (Run, bool) {
	r, ok := runOf(ctx)
	if !ok {
		return Run{}, false
	}

	x := r.x

	return Run{
		Scope:     x.call.Scope,
		Method:    x.call.Method,
		Key:       x.call.Key,
		Fence:     x.fence.Load(),
		Attempt:   int(r.attempt),
		Guarantee: r.guarantee,
	}, true
}

// CallerDeadline returns the deadline of the caller on whose behalf a handler runs. The handler's own context has the
// deadline of the run, which goes on after the caller has gone. The second result is false where the caller has no
// deadline, or outside of a run.
func CallerDeadline(ctx context.Context) (time.Time, bool) {
	r, ok := runOf(ctx)
	if !ok {
		return time.Time{}, false
	}

	return r.x.caller.Deadline()
}

// idempotencyKey carries a key from a caller to the client interceptor.
type idempotencyKey struct{}

// ContextWithKey gives the calls that are made with the context an idempotency key. Give each logical call a context of
// its own: two calls with one key are one operation, or KEY_REUSED. A run does not see the key that is in its caller's context: its
// own calls have keys that are derived from the run's.
func ContextWithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// KeyFromContext returns the key that ContextWithKey has set.
func KeyFromContext(ctx context.Context) (string, bool) {
	key, ok := ctx.Value(idempotencyKey{}).(string)

	return key, ok
}

package onlyonce

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// runKey finds the run in its context.
type runKey struct{}

func runOf(ctx context.Context) (*run, bool) {
	r, ok := ctx.Value(runKey{}).(*run)

	return r, ok
}

// Deadline returns the end of MaxRun. For a run that is not detached, it returns the caller's deadline if that is earlier.
func (r *run) Deadline() (time.Time, bool) {
	if deadline, ok := r.lazyContext.Deadline(); ok {
		return earlier(deadline, r.lease.RunEnd()), true
	}

	return r.lease.RunEnd(), true
}

// Value returns the caller's values, without the key and the step of the caller's call: they do not name the calls of the run.
func (r *run) Value(key any) any {
	switch key.(type) {
	case runKey:
		return r
	case idempotencyKey, stepKey:
		return nil
	default:
		return r.lazyContext.Value(key)
	}
}

// Run describes the run that a context belongs to. See [RunFromContext].
type Run struct {
	// ID is the storage key of the call: a hash of scope, method and key. It equals [Record].ID. A handler can send it along with an effect,
	// so that a recovery function can search for the effect.
	ID store.Key
	// Scope, Method and Key are the identity of the call.
	Scope, Method, Key string
	// Fence is the fencing token: a later run of the same key has a higher one. A resource that remembers the highest fence of a key can
	// refuse an overtaken run. Compare the fences of one key only. It is 0 in a run without protection and in a single transaction.
	Fence uint64
	// Attempt numbers the runs of the key since its record was made or last released, from 1. It is more than 1 if this run has taken over
	// from runs that never ended.
	Attempt int
	// Guarantee is the guarantee that holds for this run: the stricter of the policy's and the record's. In a single transaction it is
	// ExactlyOnce.
	Guarantee Guarantee
	// Protected is false in a run without a record: the store is down, and the policy's StoreDown is FailOpen. Other runs of the key may
	// have had their effect, or run at the same time.
	Protected bool
	// Doubtful reports that an earlier run of the key may have had its effect. An error of this run that is marked NotExecuted does not
	// prove that nothing happened.
	Doubtful bool
}

// RunFromContext returns the run that a handler's context belongs to. The second result is false outside of a run. The fence may rise
// while a run goes on, so call RunFromContext again instead of keeping the fence.
func RunFromContext(ctx context.Context) (Run, bool) {
	r, ok := runOf(ctx)
	if !ok {
		return Run{}, false
	}

	return Run{
		ID:        r.claim.Key,
		Scope:     r.call.Scope,
		Method:    r.call.Method,
		Key:       r.call.Key,
		Fence:     r.fence.Load(),
		Attempt:   int(r.number),
		Guarantee: r.guarantee,
		Protected: r.shape != unprotected,
		Doubtful:  r.doubtful,
	}, true
}

// CallerDeadline returns the deadline of the caller of a run. The handler's own context has the deadline of the run, which goes on after
// the caller has gone. The second result is false if the caller has no deadline, or outside of a run.
func CallerDeadline(ctx context.Context) (time.Time, bool) {
	r, ok := runOf(ctx)
	if !ok {
		return time.Time{}, false
	}

	return r.caller.Deadline()
}

// The causes with which a run's context is cancelled; see context.Cause.
var (
	// ErrMaxRun means that the run took longer than Policy.MaxRun.
	ErrMaxRun = errors.New("onlyonce: run cancelled: it took longer than MaxRun; raise Policy.MaxRun if it needs more time")
	// ErrLeaseLost means that another run may take over, or has taken over. Either the lease could not be renewed in time, or the record
	// belongs to another run, was settled by somebody else, or is gone.
	ErrLeaseLost = errors.New("onlyonce: run cancelled: its lease is lost, and another run may have the key")
	// ErrTooManyDetached means that the caller has gone, and that too many runs go on without their callers already: as many as
	// Limits.MaxDetached, or as the share of the scope.
	ErrTooManyDetached = errors.New("onlyonce: run cancelled: its caller has gone and too many runs are detached; raise Limits.MaxDetached")
	// ErrDraining means that the run had not ended when the context given to Drain ended. Once Drain was called, Recover returns this error.
	// It is then also the error of an EventShadow about a call that was not observed.
	ErrDraining = errors.New("onlyonce: the engine is draining")
)

// idempotencyKey carries a key from a caller to the client interceptor.
type idempotencyKey struct{}

// ContextWithKey returns a context with an idempotency key, for the calls of clients such as the client interceptor.
//   - Use one context for one operation: two calls with one key are one operation, or are rejected with ReasonKeyReused.
//   - The client checks the key, and refuses an invalid or empty key.
//   - A run does not see the key in its caller's context: its own calls have keys that are derived from the key of the run.
func ContextWithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// KeyFromContext returns the key that [ContextWithKey] has set. The second result is false if there is none.
func KeyFromContext(ctx context.Context) (string, bool) {
	key, ok := ctx.Value(idempotencyKey{}).(string)

	return key, ok
}

// joinable is the context of a handler, by which a transactional store finds its run. Only a joined run may join.
func (r *run) joinable() context.Context {
	if r.engine.can.Transactional == nil {
		return r
	}

	return r.engine.can.Transactional.Join(r, joinable{r})
}

// derive returns everything that a derived key is made of, in a context of the run.
func (r *run) derive(ctx context.Context, kind, target string) *derivation {
	step, _ := ctx.Value(stepKey{}).(string)

	return &derivation{
		scope: r.call.Scope, method: r.call.Method, key: r.call.Key, kind: kind, target: target, step: step,
	}
}

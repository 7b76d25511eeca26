package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/backlog"
	"github.com/onlyonce-go/onlyonce/internal/flight"
	"github.com/onlyonce-go/onlyonce/internal/lease"
	"github.com/onlyonce-go/onlyonce/internal/quota"
	"github.com/onlyonce-go/onlyonce/store"
)

// Engine decides what becomes of keyed calls: run, replay, wait or reject. One engine serves any number of methods. It is safe for
// concurrent use. [New] makes one, [Engine.Drain] ends it.
//
// It starts goroutines only on behalf of calls. They renew leases, call recovery functions, observe calls in shadow mode, and write in the
// background what a store has not acknowledged. All of them have ended when Drain has returned nil.
type Engine struct {
	store    store.Store
	direct   store.Direct // the store, for claims and completions
	can      store.Capabilities
	home     any // where the store keeps its records; nil: nobody knows. See store.Capabilities
	hideKeys bool
	policy   Policy
	limits   Limits
	observer Observer
	quiet    bool // the observer is the default one, which reports only what needs attention
	trace    func(ctx context.Context) string

	flights    flight.Group[landing]
	runs       runs
	leases     lease.Keeper
	recoveries recoveries
	backlog    backlog.Backlog
	shadows    shadows
	waiters    *quota.Quota // duplicates that wait
	detached   *quota.Quota // runs whose callers have gone
	unwatched  atomic.Bool  // there may be runs whose callers nobody watches

	calls    atomic.Int64 // calls between their admission and their answer
	renewals atomic.Int64 // of leases, acknowledged by the store
	draining atomic.Bool
	stopped  atomic.Bool   // a drain has run out of time
	idle     chan struct{} // receives when the last call ends during a drain
}

// Option is an option of [New].
type Option func(*Engine)

// WithPolicy sets the policy of the engine. It fills the unset fields in the policy of each call. Its own unset fields have the defaults of
// [Policy]. Later options override earlier ones, field by field.
func WithPolicy(p Policy) Option { return func(e *Engine) { e.policy = p.Over(e.policy) } }

// WithLimits sets the limits of the engine. Unset fields have the defaults of [Limits]. Later options override earlier ones, field by
// field.
func WithLimits(l Limits) Option { return func(e *Engine) { e.limits = l.over(e.limits) } }

// WithObserver sets the observer of the engine's events. Nil means that nobody gets them. Later options override earlier ones.
//
// The default is [AttentionObserver]: it writes to slog.Default what an operator must know. [SlogObserver] writes everything.
func WithObserver(o Observer) Option { return func(e *Engine) { e.observer, e.quiet = o, false } }

// WithHiddenKeys keeps readable keys out of records and events, for keys that are sensitive themselves. Operators then find a record by its
// storage key, or by its full identity. By default records and events have the key.
func WithHiddenKeys() Option { return func(e *Engine) { e.hideKeys = true } }

// WithTrace sets the function that returns the traceparent of a call. The record of the call keeps it: see Record.Trace and Event.Trace.
// Nil, the default, keeps nothing. Later options override earlier ones.
//   - The function gets the context of the caller. It is called before the claim, once for each call that claims.
//   - It must be quick and safe for concurrent use.
//   - An empty result keeps nothing. So does a result of more than 255 bytes.
//   - Older builds refuse to read records with a traceparent. Deploy a build with this option to all servers before you set it.
func WithTrace(trace func(ctx context.Context) string) Option {
	return func(e *Engine) { e.trace = trace }
}

// New returns an engine on a store. Several engines may share a store, in one process or in several. The error reports every problem:
//   - The store is nil.
//   - A value of the limits or of the policy is outside of its range.
//   - The policy cannot hold, such as ExactlyOnce on a store without transactions.
func New(s store.Store, opts ...Option) (*Engine, error) {
	if isNil(s) {
		return nil, errors.New("onlyonce: making an engine without a store: give New a store, such as memstore.New()")
	}

	e := &Engine{
		store:    s,
		can:      s.Capabilities(),
		policy:   builtinPolicy(),
		limits:   builtinLimits(),
		observer: attention(slog.Default),
		quiet:    true,
		idle:     make(chan struct{}, 1),
	}

	e.direct = directOf(s, e.can.Direct)

	e.home = e.can.Home
	if e.home == nil && reflect.ValueOf(s).Comparable() {
		e.home = s
	}

	for _, opt := range opts {
		opt(e)
	}

	if err := errors.Join(e.policy.validate(&e.can), e.limits.validate()); err != nil {
		return nil, err
	}

	e.waiters = e.limits.quota(e.limits.MaxWaiters)
	e.detached = e.limits.quota(e.limits.MaxDetached)
	e.backlog.Init(backlog.Limits{Tasks: e.limits.MaxPending, Bytes: e.limits.MaxPendingBytes, Final: final})

	return e, nil
}

// isNil reports whether a store is nil, or an interface around a nil pointer.
func isNil(s store.Store) bool {
	if s == nil {
		return true
	}

	v := reflect.ValueOf(s)

	return v.Kind() == reflect.Pointer && v.IsNil()
}

// Validate returns nil if the policy can hold on this engine. Otherwise the error reports every problem. Unset fields are taken from the
// engine's policy. Validate accepts an ErrorRetention that is shorter than KeyLife. Calls with time-ordered keys refuse such a policy.
func (e *Engine) Validate(p Policy) error {
	p = p.Over(e.policy)

	return p.validate(&e.can)
}

// Drain ends the work of the engine before a server stops. It returns nil when all calls have been answered and the store has acknowledged
// all settlements. Give ctx more time than MaxRun. The engine rejects keyed calls from then on. Drain may be called again.
//
//   - New calls are rejected with ReasonStoreUnavailable, so that their clients try another server. So are calls that wait and would have
//     to claim again.
//   - If ctx ends first, Drain cancels the contexts of the remaining runs with ErrDraining, and abandons the settlements that are not
//     acknowledged. Its error has the numbers of both and wraps the cause of ctx. The outcome of an abandoned settlement may be lost.
func (e *Engine) Drain(ctx context.Context) error {
	e.draining.Store(true)

	for e.calls.Load() > 0 {
		select {
		case <-e.idle:
		case <-ctx.Done():
			e.stopped.Store(true) // before cancelling, for the runs that start at this very moment

			cancelled := e.runs.cancel(ErrDraining)
			lost := e.backlog.Stop()

			return drainedInPart(ctx, cancelled, lost)
		}
	}

	e.wakeDrain() // another one

	if lost := e.backlog.Drain(ctx); lost > 0 {
		return drainedInPart(ctx, 0, lost)
	}

	return nil
}

func drainedInPart(ctx context.Context, cancelled, lost int) error {
	return fmt.Errorf("onlyonce: draining the engine: runs cancelled: %d, settlements not acknowledged by the store: %d; "+
		"give Drain more time than MaxRun: %w", cancelled, lost, context.Cause(ctx))
}

// admit counts a call in, or returns why it is refused before it claims.
func (e *Engine) admit(scope uint64, down StoreDown) *Rejection {
	calls := e.calls.Add(1)

	switch {
	case e.draining.Load():
		e.leave()

		return rejectDraining()
	case e.tooManyDetached(calls, scope):
		e.leave()

		return reject(ReasonStoreFull,
			"too many runs go on after their callers have gone, so nothing was executed by this call; retry with the same key", nil)
	case e.backlog.Full() && down != FailOpen:
		e.leave()

		return reject(ReasonStoreUnavailable,
			"the idempotency store has too many outcomes to acknowledge, so nothing was executed by this call; retry with the same key", nil)
	default:
		return nil
	}
}

// leave counts a call out.
func (e *Engine) leave() {
	if e.calls.Add(-1) == 0 && e.draining.Load() {
		e.wakeDrain()
	}
}

func (e *Engine) wakeDrain() {
	select {
	case e.idle <- struct{}{}:
	default:
	}
}

// part names the part of the store that keeps a record, or returns "" if the store has no parts.
func (e *Engine) part(key store.Key) string {
	if e.can.Part == nil {
		return ""
	}

	return e.can.Part(key)
}

// storeContext bounds one operation of the store. A store that never waits needs no bound.
func (e *Engine) storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if e.can.Immediate {
		return ctx, func() {}
	}

	return e.storeDeadline(ctx, time.Now().Add(e.limits.StoreTimeout))
}

// claimContext bounds one operation of the store, and ends it at a time if that is earlier.
func (e *Engine) claimContext(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if e.can.Immediate {
		return ctx, func() {}
	}

	return e.storeDeadline(ctx, earlier(until, time.Now().Add(e.limits.StoreTimeout)))
}

// storeDeadline ends an operation of the store at a time. A store that keeps to deadlines by itself gets the deadline without a timer.
func (e *Engine) storeDeadline(ctx context.Context, at time.Time) (context.Context, context.CancelFunc) {
	if e.can.Bounded {
		return &deadlineContext{Context: ctx, at: at}, func() {}
	}

	return context.WithDeadline(ctx, at)
}

// deadlineContext has a deadline and no timer.
type deadlineContext struct {
	context.Context //nolint:containedctx // it is one

	at time.Time
}

// Deadline returns the earlier of its own deadline and that of the context around it.
func (c *deadlineContext) Deadline() (time.Time, bool) {
	if outer, ok := c.Context.Deadline(); ok {
		return earlier(outer, c.at), true
	}

	return c.at, true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}

	return a
}

// sharesRecords reports whether two engines keep their records in the same place.
func (e *Engine) sharesRecords(other *Engine) bool {
	return e == other || e.home != nil && e.home == other.home
}

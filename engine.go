package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Engine decides what becomes of keyed calls: run, replay, wait or reject. One engine serves any number of methods and is
// safe for concurrent use. It starts goroutines for calls alone: to renew leases, for recovery functions, and to finish in the
// background what a store has not acknowledged. All of them have ended when Drain has returned nil.
type Engine struct {
	store     store.Store
	notifier  store.Notifier  // nil: polling alone
	inspector store.Inspector // nil: no Lookup and Resolve
	immediate bool            // the store never waits, so it needs no timeouts
	bounded   bool            // the store keeps to deadlines by itself
	hideKeys  bool
	policy    Policy
	limits    Limits
	observer  Observer

	transactional store.Transactional // nil: no ExactlyOnce

	flights    flights
	recoveries recoveries
	waiters    atomic.Int64 // duplicates that wait, in the whole process
	pending    pending

	calls    atomic.Int64 // calls between their admission and their answer
	draining atomic.Bool
	stopped  atomic.Bool   // a drain has run out of time
	idle     chan struct{} // receives when the last call ends during a drain
}

// Limits bound what an engine holds and how long it waits for its store. A field that is zero has its default.
type Limits struct {
	// MaxDetached is how many runs may go on after their callers have gone. Beyond it new keyed calls are refused before
	// they claim. The default is 1,000.
	MaxDetached int
	// MaxWaitersPerKey and MaxWaiters are how many duplicates wait for running calls, per key and in all. Beyond it they
	// are told at once that the call is in progress. The defaults are 256 and 10,000.
	MaxWaitersPerKey, MaxWaiters int
	// MaxPending is how many settlements that the store has not acknowledged are kept and tried again in the background.
	// Beyond it new keyed calls are refused before they claim, and those of a method with FailOpen run without
	// protection. The default is 10,000.
	MaxPending int
	// StoreTimeout bounds one operation of a store that can block. The default is 2 seconds.
	StoreTimeout time.Duration
	// SettleTimeout is how long a caller is kept while the outcome of its run cannot be stored. The default is 10
	// seconds. The outcome is then tried again in the background.
	SettleTimeout time.Duration
	// RecoverTimeout bounds one call of a recovery function. The default is 5 seconds.
	RecoverTimeout time.Duration
}

func (l Limits) over(wider Limits) Limits {
	return Limits{
		MaxDetached:      set(l.MaxDetached, wider.MaxDetached),
		MaxWaitersPerKey: set(l.MaxWaitersPerKey, wider.MaxWaitersPerKey),
		MaxWaiters:       set(l.MaxWaiters, wider.MaxWaiters),
		MaxPending:       set(l.MaxPending, wider.MaxPending),
		StoreTimeout:     set(l.StoreTimeout, wider.StoreTimeout),
		SettleTimeout:    set(l.SettleTimeout, wider.SettleTimeout),
		RecoverTimeout:   set(l.RecoverTimeout, wider.RecoverTimeout),
	}
}

func builtinLimits() Limits {
	return Limits{
		MaxDetached:      1_000,
		MaxWaitersPerKey: 256,
		MaxWaiters:       10_000,
		MaxPending:       10_000,
		StoreTimeout:     2 * time.Second,
		SettleTimeout:    10 * time.Second,
		RecoverTimeout:   5 * time.Second,
	}
}

func (l Limits) validate() error {
	if l.MaxDetached < 0 || l.MaxWaitersPerKey < 0 || l.MaxWaiters < 0 || l.MaxPending < 0 || l.StoreTimeout < 0 ||
		l.SettleTimeout < 0 || l.RecoverTimeout < 0 {
		return fmt.Errorf("onlyonce: a limit is negative: give positive values, or zero for the default: %+v", l)
	}

	return nil
}

// Option changes an Engine under construction.
type Option func(*Engine)

// WithPolicy sets the policy of calls that bring none, and what is unset in the policies of those that do. Given again, it
// goes before what was given, field by field.
func WithPolicy(p Policy) Option { return func(e *Engine) { e.policy = p.Over(e.policy) } }

// WithLimits sets the engine's bounds.
func WithLimits(l Limits) Option { return func(e *Engine) { e.limits = l.over(e.limits) } }

// WithObserver lets an observer see what the engine decides; nil means nobody. See SlogObserver.
func WithObserver(o Observer) Option { return func(e *Engine) { e.observer = o } }

// WithHiddenKeys keeps readable keys out of records and events, for keys that are themselves sensitive. Operators then
// find a record by its full identity alone.
func WithHiddenKeys() Option { return func(e *Engine) { e.hideKeys = true } }

// New returns an engine on a store, which must not be nil. It fails where a limit is negative or the policy cannot hold, such
// as ExactlyOnce on a store that has no transactions, and reports every problem at once.
func New(s store.Store, opts ...Option) (*Engine, error) {
	if s == nil {
		return nil, errors.New("onlyonce: New needs a store, such as memstore.New()")
	}

	e := &Engine{
		store:  s,
		policy: builtinPolicy(),
		limits: builtinLimits(),
		idle:   make(chan struct{}, 1),
	}
	e.notifier, _ = s.(store.Notifier)
	e.inspector, _ = s.(store.Inspector)
	_, e.immediate = s.(store.Immediate)
	_, e.bounded = s.(store.Bounded)
	e.transactional, _ = s.(store.Transactional)

	for _, opt := range opts {
		opt(e)
	}

	if err := errors.Join(e.policy.validate(e.transactional != nil), e.limits.validate()); err != nil {
		return nil, err
	}

	e.flights.init()
	e.pending.init(e)

	return e, nil
}

// Validate reports everything that cannot hold in a policy on this engine, or nil.
func (e *Engine) Validate(p Policy) error {
	p = p.Over(e.policy)

	return p.validate(e.transactional != nil)
}

// Policy returns a policy with every unset field taken from the engine's.
func (e *Engine) Policy(p Policy) Policy { return p.Over(e.policy) }

// Drain refuses new keyed calls with ReasonStoreUnavailable, which asks to retry elsewhere, as well as calls that wait and would
// have to claim again. It waits until all calls have been answered and nothing is left to be tried in the background. When ctx
// ends first, the runs that are left are told by cancelling their contexts with ErrDraining, what is pending is given up,
// and Drain returns an error that says how much was left. The engine cannot be used afterwards. Drain may be called again.
func (e *Engine) Drain(ctx context.Context) error {
	e.draining.Store(true)

	for e.calls.Load() > 0 {
		select {
		case <-e.idle:
		case <-ctx.Done():
			e.stopped.Store(true) // before cancelling, for the runs that start at this very moment

			told := e.flights.cancel(ErrDraining)
			lost := e.pending.stop()

			return fmt.Errorf("onlyonce: drained in part: %d runs were told to stop, %d settlements were not acknowledged: %w",
				told, lost, context.Cause(ctx))
		}
	}

	e.wakeDrain() // another one

	if lost := e.pending.drain(ctx); lost > 0 {
		return fmt.Errorf("onlyonce: drained in part: %d settlements were not acknowledged: %w", lost, context.Cause(ctx))
	}

	return nil
}

// admit counts a call in, or says why it is refused before it claims.
func (e *Engine) admit(storeDown StoreDown) *Rejection {
	calls := e.calls.Add(1)

	switch {
	case e.draining.Load():
		e.leave()

		return rejectDraining()
	case calls > int64(e.limits.MaxDetached) && e.flights.detached(calls) >= e.limits.MaxDetached:
		e.leave()

		return reject(ReasonStoreFull,
			"too many runs go on without their callers, so nothing was executed; retry with the same key", nil)
	case e.pending.full() && storeDown != FailOpen:
		e.leave()

		return reject(ReasonStoreUnavailable,
			"the idempotency store has not acknowledged too many earlier calls, so nothing was executed; retry with the same key", nil)
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

// storeContext bounds one operation of the store. A store that never waits needs no bound.
func (e *Engine) storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if e.immediate {
		return ctx, func() {}
	}

	return e.storeDeadline(ctx, time.Now().Add(e.limits.StoreTimeout))
}

// claimContext bounds one operation of the store by a time as well.
func (e *Engine) claimContext(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if e.immediate {
		return ctx, func() {}
	}

	return e.storeDeadline(ctx, earlier(until, time.Now().Add(e.limits.StoreTimeout)))
}

// storeDeadline ends an operation of the store at a time. A store that keeps to deadlines by itself is only told.
func (e *Engine) storeDeadline(ctx context.Context, at time.Time) (context.Context, context.CancelFunc) {
	if e.bounded {
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

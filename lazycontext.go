package onlyonce

import (
	"context"
	"sync/atomic"
	"time"
)

// lazyContext is a context that can be cancelled with a cause, as [context.WithCancelCause] makes it. Most handlers never read whether
// their context has ended. So the cancellation, a context of package context, is made when it is first needed: for Done, for a child, or to
// cancel. Children then are children of the cancellation, and start no goroutine.
//
//	inherit ──► no cancellation ──► finish: made for the first reader
//	                  │
//	                  └─ Done, a child, cancel ──► made
type lazyContext struct {
	parent context.Context //nolint:containedctx // it is one
	made   atomic.Pointer[cancellation]
	// over is set before a finished context is cancelled, so that a cancellation that is made later is cancelled too.
	over atomic.Bool
}

type cancellation struct {
	context.Context //nolint:containedctx // it is one

	cancel context.CancelCauseFunc
}

// inherit begins the context. If the parent can end, the cancellation is made now, so that the first cause counts.
func (c *lazyContext) inherit(parent context.Context) {
	c.parent = parent

	if parent.Done() != nil {
		c.make()
	}
}

// cancel cancels the context with a cause. The first cause counts.
func (c *lazyContext) cancel(cause error) { c.make().cancel(cause) }

// finish cancels the context without a cause.
func (c *lazyContext) finish() {
	c.over.Store(true)

	if made := c.made.Load(); made != nil {
		made.cancel(nil)
	}
}

// make returns the cancellation, and makes it if there is none.
func (c *lazyContext) make() *cancellation {
	made := c.made.Load()
	if made == nil {
		ctx, cancel := context.WithCancelCause(c.parent)
		made = &cancellation{ctx, cancel}

		if !c.made.CompareAndSwap(nil, made) {
			cancel(nil)

			made = c.made.Load()
		}
	}

	if c.over.Load() {
		made.cancel(nil)
	}

	return made
}

// needed returns the cancellation. It returns nil if there is none and the context has not ended.
func (c *lazyContext) needed() *cancellation {
	if c.over.Load() {
		return c.make()
	}

	return c.made.Load()
}

// Deadline implements [context.Context].
func (c *lazyContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done implements [context.Context].
func (c *lazyContext) Done() <-chan struct{} { return c.make().Done() }

// Err implements [context.Context].
func (c *lazyContext) Err() error {
	if made := c.needed(); made != nil {
		return made.Err()
	}

	return nil
}

// Value implements [context.Context].
func (c *lazyContext) Value(key any) any {
	if made := c.needed(); made != nil {
		return made.Value(key)
	}

	return c.parent.Value(key)
}

// uncancelledContext is a context that never ends and has no deadline, as [context.WithoutCancel] makes it, without an allocation.
type uncancelledContext struct {
	context.Context //nolint:containedctx // it is one
}

// Deadline implements [context.Context].
func (*uncancelledContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements [context.Context].
func (*uncancelledContext) Done() <-chan struct{} { return nil }

// Err implements [context.Context].
func (*uncancelledContext) Err() error { return nil }

package consume

import (
	"context"

	"github.com/onlyonce-go/onlyonce"
)

// untilBegun returns a context that ends with ctx, but no longer once begun is called. The consumer waits for a handler that has begun,
// even if ctx ends. So the run has a caller, and onlyonce.Limits.MaxDetached must not cancel it. Release frees the context.
func untilBegun(ctx context.Context, d onlyonce.Detachment) (own context.Context, begun, release func()) {
	if ctx.Done() == nil || ctx.Err() != nil || d != onlyonce.Detached {
		return ctx, func() {}, func() {}
	}

	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })

	return own, func() { stop() }, func() {
		stop()
		cancel(nil)
	}
}

package oncehttp

import (
	"context"
	"sync"

	"github.com/onlyonce-go/onlyonce"
)

// NotExecuted declares that the effect of the request did not happen and cannot happen any more, whatever the status of the answer. The
// key is released, and the next request with it runs. Only the handler can know this. It gets the context of the handler's request; with
// any other context it does nothing. A later NotExecuted or Final of the same run overrides it.
func NotExecuted(ctx context.Context) { mark(ctx, onlyonce.ClassNotExecuted) }

// Final declares that the answer of the handler is the answer to the request, whatever its status: it is recorded and replayed. It gets
// the context of the handler's request; with any other context it does nothing. A later NotExecuted or Final of the same run overrides it.
func Final(ctx context.Context) { mark(ctx, onlyonce.ClassDefinite) }

// KeepWrites keeps the writes of a handler that shares a transaction with its record. It has an effect only if the answer is recorded and
// has a status of 400 or more. Without it such writes are rolled back. It gets the context of the handler's request; with any
// other context it does nothing.
func KeepWrites(ctx context.Context) {
	if m, ok := ctx.Value(marksKey{}).(*marks); ok {
		m.mu.Lock()
		m.keep = true
		m.mu.Unlock()
	}
}

func mark(ctx context.Context, class onlyonce.Class) {
	if m, ok := ctx.Value(marksKey{}).(*marks); ok {
		m.mu.Lock()
		m.class, m.marked = class, true
		m.mu.Unlock()
	}
}

type marksKey struct{}

// markedContext is the context of a handler, with its marks.
type markedContext struct {
	context.Context //nolint:containedctx // it is one

	marks *marks
}

// Value implements [context.Context].
func (c *markedContext) Value(key any) any {
	if key == (marksKey{}) {
		return c.marks
	}

	return c.Context.Value(key)
}

// marks are the declarations of the handler of a run.
type marks struct {
	mu     sync.Mutex
	class  onlyonce.Class
	marked bool
	keep   bool
}

func (m *marks) get() (class onlyonce.Class, marked, keep bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.class, m.marked, m.keep
}

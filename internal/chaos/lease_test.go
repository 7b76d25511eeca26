package chaos_test

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The oracle knows exactly what processes can only estimate: until when the store protects a run from takeover. By
// then, the context of a run that others may take over must have ended, even if its handler ignores it.

// attemptKey is the context key of the attempt that a store operation belongs to.
type attemptKey struct{}

func withAttempt(ctx context.Context, a *attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// noteLease is called when the store has decided a claim or a renewal, late copies included.
func (w *world) noteLease(ctx context.Context, res *store.Result) {
	rec := &res.Record

	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok || w.history.realTime || !res.Applied || rec.State != store.Running || !rec.Guarantee.TakeoverAllowed() {
		return
	}

	w.history.mu.Lock()
	defer w.history.mu.Unlock()

	if rec.LeaseUntil.After(a.leaseUntil) {
		a.leaseUntil = rec.LeaseUntil

		time.AfterFunc(time.Until(a.leaseUntil), func() { w.mustHaveEnded(a) })
	}
}

// mustHaveEnded checks, when a lease ends, that the context of its run has ended before.
func (w *world) mustHaveEnded(a *attempt) {
	h := &w.history

	h.mu.Lock()
	defer h.mu.Unlock()

	r := a.run
	if r == nil || r.over || a.process.dead || time.Now().Before(a.leaseUntil) || r.ctx.Err() != nil {
		return
	}

	h.violationf(a.id, "run %d may go on, and its lease has ended", r.number)
}

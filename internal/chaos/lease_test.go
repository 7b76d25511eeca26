package chaos_test

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The oracle knows what no process can know for sure: until when the store keeps others away from a run. A run that others
// may take over must have been told to end by then, whether or not somebody is there who does.

// attemptKey finds the attempt that an operation of the store is made for.
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

		time.AfterFunc(time.Until(a.leaseUntil), func() { w.mustHaveBeenTold(a) })
	}
}

// mustHaveBeenTold checks, when a lease ends, that the context of its run has ended before.
func (w *world) mustHaveBeenTold(a *attempt) {
	h := &w.history

	h.mu.Lock()
	defer h.mu.Unlock()

	r := a.run
	if r == nil || r.over || a.process.dead || time.Now().Before(a.leaseUntil) || r.ctx.Err() != nil {
		return
	}

	h.violationf(a.id, "run %d may go on, and its lease has ended", r.number)
}

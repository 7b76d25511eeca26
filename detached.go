package onlyonce

import (
	"context"
	"sync"
)

// Watching a caller costs a few allocations. There are never more detached runs than calls, so no caller is watched while calls are few.
// Share is the part of MaxDetached that a scope may use.
//
//	calls under way          a run that begins   a call that comes
//	up to half of the share  is not watched      is admitted
//	up to the share          is watched          is admitted
//	more                     is watched          has all runs watched, and is refused if too many are detached

// few reports whether calls are too few to exceed the bound of detached runs, even after more have come.
func (e *Engine) few(calls int64) bool { return calls <= e.detached.Share()/2 }

// tooManyDetached reports whether a call has to be refused. Calls is the number of calls under way, with this call.
func (e *Engine) tooManyDetached(calls int64, scope uint64) bool {
	if calls <= e.detached.Share() {
		return false
	}

	// At least half of the share of new runs has to come before this loop runs again, so each call pays for a few runs.
	if e.unwatched.Load() && e.unwatched.CompareAndSwap(true, false) {
		for r := range e.runs.all() {
			r.watch()
		}
	}

	return e.detached.Full(scope)
}

// watchUnlessFew watches the caller of a run that begins, unless calls are few. The run is in the list of runs already. If calls become
// many at the same moment, either this run or the call that is one too many notices it.
func (r *run) watchUnlessFew() {
	e := r.engine

	if e.few(e.calls.Load()) {
		e.unwatched.Store(true)

		if e.few(e.calls.Load()) {
			return
		}
	}

	r.watch()
}

// presence is the state of a run's caller.
type presence struct {
	mu      sync.Mutex
	unwatch func() bool // nil before it can be called
	watched bool        // the caller is watched
	counted bool        // the caller has gone, and the run counts as detached
	over    bool        // the run has ended
}

// watch watches the caller from now on. If the caller has gone already, the run is detached when watch returns.
func (r *run) watch() {
	if r.policy.Detachment != Detached || r.caller.Done() == nil || !r.presence.watchOnce() {
		return
	}

	if r.caller.Err() != nil {
		r.detach()

		return
	}

	r.presence.watchedUntil(context.AfterFunc(r.caller, r.detach))
}

// watchOnce reports whether to watch: the caller is not watched yet, and the run has not ended.
func (p *presence) watchOnce() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	first := !p.watched && !p.over
	p.watched = true

	return first
}

// watchedUntil stores the function that ends the watch. If the run has ended, it calls the function.
func (p *presence) watchedUntil(unwatch func() bool) {
	p.mu.Lock()
	p.unwatch = unwatch
	over := p.over
	p.mu.Unlock()

	if over {
		unwatch()
	}
}

// detach lets the run go on without its caller, or cancels it if too many runs are detached.
func (r *run) detach() {
	if !r.presence.leave(func() bool { return r.engine.detached.Take(r.claim.Scope, 1) }) {
		r.cancel(ErrTooManyDetached)
	}
}

// leave counts a run whose caller has gone, unless it has ended, and reports whether there is room for it.
func (p *presence) leave(take func() bool) (room bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.over {
		return true
	}

	p.counted = take()

	return p.counted
}

// end ends the watch, and reports whether the run was counted.
func (p *presence) end() (counted bool) {
	p.mu.Lock()
	p.over = true
	unwatch, counted := p.unwatch, p.counted
	p.mu.Unlock()

	if unwatch != nil {
		unwatch()
	}

	return counted
}

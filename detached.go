package onlyonce

import (
	"context"
	"sync"
)

// Watching a caller costs a few allocations. No more runs go on without their callers than there are calls, so nobody watches while calls
// are few. Share is what a scope may use of MaxDetached.
//
//	calls under way   a run that begins   a call that comes
//	up to half        is not watched
//	up to the share   is watched
//	more              is watched          has all others watched, and is refused if too many are detached

// few reports whether so many calls are too few to exceed a bound of detached runs, even after some more have come.
func (e *Engine) few(calls int64) bool { return calls <= e.detached.Share()/2 }

// tooManyDetached reports whether a call that is one of so many has to be refused.
func (e *Engine) tooManyDetached(calls int64, scope uint64) bool {
	if calls <= e.detached.Share() {
		return false
	}

	// At least half of the share comes before this is done again, so a call pays for a few runs.
	if e.unwatched.Load() && e.unwatched.CompareAndSwap(true, false) {
		for r := range e.runs.all() {
			r.watch()
		}
	}

	return e.detached.Full(scope)
}

// watchUnlessFew watches the caller of a run that begins and is in the list of runs. If calls become many meanwhile, either this run or
// the call that is one too many notices it.
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

// presence is what a run knows of its caller.
type presence struct {
	mu      sync.Mutex
	unwatch func() bool // nil before it can be called
	watched bool        // somebody watches the caller
	counted bool        // the caller has gone, and the run counts as detached
	over    bool        // the run has ended
}

// watch watches the caller from now on. If the caller has gone, this is noticed before watch returns.
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

// watchOnce reports whether to watch: nobody does, and the run has not ended.
func (p *presence) watchOnce() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	first := !p.watched && !p.over
	p.watched = true

	return first
}

// watchedUntil takes in how to end the watch.
func (p *presence) watchedUntil(unwatch func() bool) {
	p.mu.Lock()
	p.unwatch = unwatch
	over := p.over
	p.mu.Unlock()

	if over {
		unwatch()
	}
}

// detach lets the run go on without its caller, or ends it where too many do.
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

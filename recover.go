package onlyonce

import (
	"context"
	"slices"
	"sync"

	"github.com/onlyonce-go/onlyonce/store"
)

// RecoverFunc finds out what became of a run whose outcome is unknown. Usually it queries the system in which the effect would have
// happened.
//   - It is called before a call ends with ReasonOutcomeUnknown, and before the handler runs again.
//   - One call of a key calls it at a time. The other calls wait for its result, even if they do not wait for a running call.
//   - It is called again for every later duplicate of a record that stays unknown, so it should be cheap or remember its result.
//   - Package reconcile calls it without a call. The record is then everything that it has: see Record.Request.
//   - Its context ends after Limits.RecoverTimeout, and not with the caller.
//   - It must be safe for concurrent use.
//
// An error, a panic, and a result that does not come in time count as StillUnknown. So does DidNotHappen while the owner of the run may
// be alive. The observer gets an EventRecoverFailed.
type RecoverFunc func(ctx context.Context, rec Record) (Finding, error)

// recoveries are the recovery functions of the transports, and those at work: one for each key at most.
type recoveries struct {
	mu    sync.Mutex
	byKey map[store.Key]*recovery
	find  []func(method string) RecoverFunc
}

// function returns the recovery function of a method, or nil.
func (rs *recoveries) function(method string) RecoverFunc {
	rs.mu.Lock()
	find := slices.Clone(rs.find)
	rs.mu.Unlock()

	for _, find := range find {
		if ask := find(method); ask != nil {
			return ask
		}
	}

	return nil
}

// recovery is one recovery function at work, about the owner with a fence. Its done is closed when it has ended or its time is over.
type recovery struct {
	about owner
	// ofCall means that the function has the request of a call. Without it, the function may find out less.
	ofCall bool
	done   chan struct{}
	once   sync.Once
	// found and err are the result, once done is closed.
	found Finding
	err   error
}

func (r *recovery) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// serves reports whether a question about an owner waits for this recovery, and gets its result. One whose time is over answers nobody any
// more. It is left alone, but for its own owner: a function that does not end is not called again. A call that has got nothing from a
// recovery without its request calls its own function.
func (r *recovery) serves(about owner, ofCall bool) bool {
	return !r.over() || r.about == about && (r.ofCall || !ofCall)
}

// finish ends the recovery. The first result counts.
func (r *recovery) finish(found Finding, err error) {
	r.once.Do(func() {
		r.found, r.err = found, err
		close(r.done)
	})
}

func (rs *recoveries) remove(key store.Key, work *recovery) {
	rs.mu.Lock()
	defer rs.mu.Unlock()

	if rs.byKey[key] == work {
		delete(rs.byKey, key)
	}
}

package onlyonce

import (
	"context"
	"slices"
	"sync"

	"github.com/onlyonce-go/onlyonce/store"
)

// RecoverFunc finds out what became of a run whose outcome is unknown. Usually it queries the system in which the effect would have
// happened. The engine settles the record with the finding.
//   - It is called before a call ends with ReasonOutcomeUnknown, and before the handler runs again in a takeover.
//   - In one process, only one call of a key calls it at a time. The other calls wait for its result, even beyond their MaxWait.
//   - It is called again for every later duplicate of a record that stays unknown, so it should be cheap or remember its result.
//   - Package reconcile calls it without a call. It then has no more than the record: see Record.Request.
//   - Its context ends after Limits.RecoverTimeout, and not with the caller.
//   - It must be safe for concurrent use.
//
// An error and a panic count as StillUnknown. So does DidNotHappen while the owner of the run may be alive. The observer then gets an
// EventRecoverFailed. A result that does not come in time counts as StillUnknown for the calls that wait, and settles the record when it
// comes.
type RecoverFunc func(ctx context.Context, rec Record) (Finding, error)

// recoveries has the recovery functions of the transports, and the recoveries that are under way: one for each key at most.
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
		if fn := find(method); fn != nil {
			return fn
		}
	}

	return nil
}

// recovery is one call of a recovery function. Its done is closed when the function has ended or its time is over.
type recovery struct {
	about owner // of the run that it is about
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

// serves reports whether a question about an owner gets the result of this recovery.
//   - While the recovery is under way, every question waits for it.
//   - After its time, it serves questions about the same owner, so that a function that does not end is not called again. A call whose
//     recovery had no request calls its own function.
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

package onlyonce

import (
	"context"
	"sync"

	"github.com/onlyonce-go/onlyonce/store"
)

// RecoverFunc finds out what became of a run whose outcome is unknown. Usually it queries the system in which the effect would have
// happened.
//   - It is called before a call ends with ReasonOutcomeUnknown, and before the handler runs again.
//   - One call of a key calls it at a time. The other calls wait for its result, even if they do not wait for a running call.
//   - It is called again for every later duplicate of a record that stays unknown, so it should be cheap or remember its result.
//   - Its context ends after Limits.RecoverTimeout, and not with the caller.
//   - It must be safe for concurrent use.
//
// An error, a panic, and a result that does not come in time count as StillUnknown. So does DidNotHappen while the owner of the run may
// be alive. The observer gets an EventRecoverFailed.
type RecoverFunc func(ctx context.Context, rec Record) (Finding, error)

// recoveries are the recovery functions at work, one for each key at most.
type recoveries struct {
	mu    sync.Mutex
	byKey map[store.Key]*recovery
	find  []func(method string) RecoverFunc
}

// recovery is one recovery function at work, about the owner with a fence. Its done is closed when it has ended or its time is over.
type recovery struct {
	about owner
	done  chan struct{}
	once  sync.Once
}

func (r *recovery) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *recovery) finish() { r.once.Do(func() { close(r.done) }) }

func (rs *recoveries) remove(key store.Key, work *recovery) {
	rs.mu.Lock()
	defer rs.mu.Unlock()

	if rs.byKey[key] == work {
		delete(rs.byKey, key)
	}
}

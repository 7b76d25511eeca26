package onlyonce

import "sync"

// receipt is the store's own note about a run: see store.Result. A renewal brings a new one, also while the run is being settled.
type receipt struct {
	mu   sync.Mutex
	last any
}

func (r *receipt) set(to any) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.last = to
}

func (r *receipt) get() any {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.last
}

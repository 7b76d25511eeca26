package onlyonce

import "sync"

// receipt holds the store's latest receipt for a run: see store.Result. A renewal brings a new receipt, even while the run is being
// settled.
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

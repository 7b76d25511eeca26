package onlyonce

import "github.com/onlyonce-go/onlyonce/store"

// StorageKey is the name of a call's record in the store.
func StorageKey(scope, method, key string) store.Key { return storageKey(scope, method, key) }

// Seats is how many waiters an engine counts. None may be left when every call has been answered.
func (e *Engine) Seats() int64 { return e.waiters.Load() }

// Pending is how many settlements an engine still has to get acknowledged.
func (e *Engine) Pending() int64 { return e.pending.count.Load() }

// Flights is how many flights are under way.
func (e *Engine) Flights() int {
	n := 0

	for i := range e.flights.shards {
		sh := &e.flights.shards[i]

		sh.mu.Lock()
		n += len(sh.flights)
		sh.mu.Unlock()
	}

	return n
}

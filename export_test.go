package onlyonce

import "github.com/onlyonce-go/onlyonce/store"

// StorageKey is the name of a call's record in the store.
func StorageKey(scope, method, key string) store.Key { return storageKey(scope, method, key) }

// Seats is how many waiters an engine counts. None may be left when every call has been answered.
func (e *Engine) Seats() int64 { return e.waiters.Used() }

// Pending is how many settlements an engine still has to get acknowledged.
func (e *Engine) Pending() int64 { return int64(e.backlog.Len()) }

// Flights is how many flights are under way.
func (e *Engine) Flights() int { return e.flights.Len() }

// Detached is how many runs an engine counts that go on without their callers.
func (e *Engine) Detached() int64 { return e.detached.Used() }

package onlyonce

// Stats are the numbers of what an engine holds, next to its [Limits]. The numbers are read one after the other while calls go on, so they
// may not fit together.
type Stats struct {
	// Calls is how many keyed calls, recoveries and observations in shadow mode are under way. A call may run, wait, or talk to the store.
	Calls int64
	// Waiters is how many calls wait for another call with their key.
	Waiters, MaxWaiters int64
	// Detached is how many runs are known to go on after their callers have gone. The engine does not watch the callers of runs that begin
	// while at most MaxDetached × ScopeShare / 2 calls are under way. Detached may lack these runs. Once more than MaxDetached × ScopeShare
	// calls are under way, the engine watches all callers.
	Detached, MaxDetached int64
	// Pending is how many writes the store has not acknowledged, and PendingBytes how many bytes of memory they keep. The engine tries them
	// again in the background.
	Pending, MaxPending           int64
	PendingBytes, MaxPendingBytes int64
	// Renewals is how many renewals of leases the store has acknowledged since the engine was made. It only grows.
	Renewals int64
}

// Stats returns the numbers of what the engine holds now. It never blocks, and is cheap enough to call whenever metrics are read.
func (e *Engine) Stats() Stats {
	return Stats{
		Calls:           e.calls.Load(),
		Waiters:         e.waiters.Used(),
		MaxWaiters:      e.waiters.Limit(),
		Detached:        e.detached.Used(),
		MaxDetached:     e.detached.Limit(),
		Pending:         int64(e.backlog.Len()),
		MaxPending:      int64(e.limits.MaxPending),
		PendingBytes:    e.backlog.Bytes(),
		MaxPendingBytes: e.limits.MaxPendingBytes,
		Renewals:        e.renewals.Load(),
	}
}

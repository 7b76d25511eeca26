package onlyonce

// Stats is what an engine holds at one moment, next to its bounds. Each number is right by itself: the numbers are read one after the
// other, while calls go on.
type Stats struct {
	// Calls is how many calls are between their admission and their answer: they run, they wait, or they talk to the store.
	Calls int64
	// Waiters is how many of these calls wait for another call with their key. MaxWaiters is the bound: see [Limits].
	Waiters, MaxWaiters int64
	// Detached is how many runs are known to go on after their callers have gone. MaxDetached is the bound. While there are few calls, the
	// engine does not watch callers, and Detached may be too low: it is right from MaxDetached × ScopeShare / 2 calls on.
	Detached, MaxDetached int64
	// Pending is how many writes the store has not acknowledged, and PendingBytes how many bytes of memory they keep. The engine tries them
	// again in the background. MaxPending and MaxPendingBytes are the bounds, beyond which new keyed calls are rejected.
	Pending, MaxPending           int64
	PendingBytes, MaxPendingBytes int64
	// Renewals is how many renewals of leases the store has acknowledged since the engine was made.
	Renewals int64
}

// Stats returns what the engine holds now. It takes less than a microsecond and never blocks, so it may be called as often as metrics are
// read.
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

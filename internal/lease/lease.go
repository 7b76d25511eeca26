// Package lease renews the lease of a run, and ends the run when its authority ends.
//
// The lease lives in a store that other processes use. The package never reads that store's clock. It measures on the local
// monotonic clock, from before the operation that gave the lease was sent. So the authority ends before the lease can:
//
//	anchor          a third                        nine tenths   the whole length
//	  |----------------|--------------------------------|--------------|
//	sent            renewal,                        authority      the lease may
//	                then every fifteenth            ends           have ended
//	                until one succeeds
//
// A renewal that succeeds moves the anchor to the moment at which it was sent.
//
// What the end of the authority means depends on [Terms].Takeover. Where others may take over, the run is ended. Where nobody
// may, ending the run would only make its outcome unknown: the run goes on, the loss is reported, and the renewals continue.
//
// All leases of an engine share the timer of a [Keeper]. A lease that has something to do works on a goroutine that ends with it.
package lease

import (
	"context"
	"sync"
	"time"
)

// Answer is the answer of a store to a renewal.
type Answer uint8

// The answers.
const (
	// Renewed means that the record runs, is the owner's, and has its lease again.
	Renewed Answer = iota + 1
	// Settled means that the record does not run any more and that its token is still the owner's: somebody settled it for this run.
	Settled
	// Taken means that the record belongs to another owner, or that there is none.
	Taken
)

// Notice is what an owner may want to report.
type Notice uint8

// The notices.
const (
	// RenewFailed means that a renewal failed. It comes with the error.
	RenewFailed Notice = iota + 1
	// Lost means that the lease may have ended, or that the record is not the owner's. It comes once, and again after a renewal
	// that has brought the lease back.
	Lost
)

// Reason is why a run has to end.
type Reason uint8

// The reasons.
const (
	// RunOver means that Terms.RunEnd has come.
	RunOver Reason = iota + 1
	// AuthorityLost means that another run of the key may begin at any time, or has begun.
	AuthorityLost
)

// Owner is the run that has the lease. Its methods are called without locks held, also at the same time.
type Owner interface {
	// Renew requests another lease from the store. It bounds itself by a timeout. Its context is cancelled when nobody needs the answer.
	Renew(ctx context.Context) (Answer, error)
	// End ends the run. It is called at most once, and must not block.
	End(reason Reason)
	// Notice reports. It may take its time: neither renewals nor the end of the run wait for it.
	Notice(n Notice, err error)
}

// Terms are the terms of a lease.
type Terms struct {
	// Length is how long the lease holds after it was given. Zero means that there is no lease: only RunEnd counts.
	Length time.Duration
	// Anchor is when the operation that gave the lease was sent, with its monotonic reading.
	Anchor time.Time
	// RunEnd is when the run has to end in any case.
	RunEnd time.Time
	// Takeover means that another run may begin once the lease has ended.
	Takeover bool
}

const (
	// renewPart of a lease passes between renewals, retryPart after one that has failed.
	renewPart = 3
	retryPart = 15
	// marginPart of a lease is how long before its possible end the authority ends.
	marginPart = 10
	// earlyPart of a lease is how much earlier a renewal may be sent, together with those of other leases.
	earlyPart = 60
)

// state is what is left to do.
type state uint8

const (
	unstarted state = iota
	renewing        // renew, and watch over the authority and the end of the run
	watching        // there is no lease, or the record is settled: only the end of the run is left
	over            // nothing
	stopped         // nothing, and nobody is called any more
)

// Lease is a lease under way. The zero value is one that has not started: its other methods do nothing.
type Lease struct {
	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // the parent of every renewal's context
	owner Owner

	// The terms, but anchor is when the last renewal that has succeeded was sent.
	length         time.Duration
	anchor, runEnd time.Time
	takeover       bool

	state state
	queue uint8 // of the keeper
	// settling means that the handler has ended and its outcome is being written.
	settling bool
	// lost means that the lease may have ended, reported that the owner knows.
	lost, reported bool

	// keeper wakes the lease at the next thing to do.
	keeper *Keeper
	wake   wake
	// renewAt is when the next renewal is due. abort cancels the one under way, and is nil where there is none.
	renewAt time.Time
	abort   context.CancelFunc

	// hold counts the transactions that have held the record. held is the number of the one that does; 0 where none does.
	hold, held uint32

	// busy counts renewals, ends and notices under way.
	busy sync.WaitGroup
}

// Start begins to renew. The renewals' contexts are derived from ctx, which must not end with the caller of the run. A Lease
// starts once.
func (l *Lease) Start(ctx context.Context, k *Keeper, owner Owner, t Terms) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.ctx, l.owner = ctx, owner
	l.length, l.anchor, l.runEnd, l.takeover = t.Length, t.Anchor, t.RunEnd, t.Takeover
	l.keeper, l.queue = k, anyQueue()
	l.state = watching

	if t.Length > 0 {
		l.state = renewing
		l.renewAt = t.Anchor.Add(t.Length / renewPart)
	}

	l.rearm()
}

// Stop ends the renewing. No renewal and no notice is under way when it returns. It may be called again.
func (l *Lease) Stop() {
	l.mu.Lock()

	l.state = stopped

	if l.keeper != nil {
		l.keeper.remove(l)
	}

	if l.abort != nil {
		l.abort()
	}

	l.mu.Unlock()

	l.busy.Wait()
}

// RunEnd is Terms.RunEnd. It must not be called before Start has returned.
func (l *Lease) RunEnd() time.Time { return l.runEnd } // it does not change

// AuthorityEnd is when the run must have stopped where others may take over. It comes before the lease can have ended.
func (l *Lease) AuthorityEnd() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.authorityEnd()
}

func (l *Lease) authorityEnd() time.Time { return l.anchor.Add(Trusted(l.length)) }

// Trusted returns for how long after the anchor an owner trusts a lease: a tenth less than the lease holds.
func Trusted(length time.Duration) time.Duration { return length - length/marginPart }

// next is when there is something to do next, and how much earlier it may be done.
func (l *Lease) next() (next time.Time, early time.Duration) {
	next = l.runEnd

	if l.state != renewing {
		return next, 0
	}

	if end := l.authorityEnd(); l.guarded() && end.Before(next) {
		next = end
	}

	if l.abort == nil && l.renewAt.Before(next) {
		next, early = l.renewAt, l.early()
	}

	return next, early
}

func (l *Lease) early() time.Duration { return l.length / earlyPart }

// guarded reports whether the end of the authority matters: not twice, and not while nobody can take over.
func (l *Lease) guarded() bool { return !l.lost && l.held == 0 }

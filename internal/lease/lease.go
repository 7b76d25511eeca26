// Package lease renews the lease of a run, and ends the run when its authority ends.
//
// The lease is in a store that other processes also use. The package never reads the store's clock. It measures on the local monotonic
// clock, from before the operation that gave the lease was sent. So the authority ends before the lease can end:
//
//	anchor          a third                        nine tenths   the whole length
//	  |----------------|--------------------------------|--------------|
//	sent            renewal,                        authority      the lease may
//	                then every fifteenth            ends           have ended
//	                until one succeeds
//
// A renewal that succeeds moves the anchor to the time at which it was sent.
//
// [Terms].Takeover decides what follows when the authority ends. If another run may take over, the run is ended. Otherwise ending the run
// would only make its outcome unknown: the run goes on, the loss is reported, and the renewals continue.
//
// All leases of an engine share the timer of a [Keeper]. A lease works on a goroutine only while an action is due.
package lease

import (
	"context"
	"sync"
	"time"
)

// Answer is a store's answer to a renewal.
type Answer uint8

// The answers.
const (
	// Renewed means that the record is running, belongs to the owner, and has a new lease.
	Renewed Answer = iota + 1
	// Settled means that the record is not running any more and still has the owner's token: it was settled for this run.
	Settled
	// Taken means that the record belongs to another owner, or that there is none.
	Taken
)

// Notice is a report to the owner.
type Notice uint8

// The notices.
const (
	// RenewFailed means that a renewal failed. It comes with the error.
	RenewFailed Notice = iota + 1
	// Lost means that the lease may have ended, or that the record does not belong to the owner. It is sent once. After a renewal that
	// succeeds, it may be sent again.
	Lost
)

// Reason is the reason why a run must end.
type Reason uint8

// The reasons.
const (
	// RunOver means that Terms.RunEnd is reached.
	RunOver Reason = iota + 1
	// AuthorityLost means that another run of the key may begin at any time, or has begun.
	AuthorityLost
)

// Owner is the run that has the lease. Its methods are called without locks held, and concurrently.
type Owner interface {
	// Renew requests another lease from the store. It must have a timeout. Its context is cancelled when the answer is not needed any more.
	Renew(ctx context.Context) (Answer, error)
	// End ends the run. It is called at most once, and must not block.
	End(reason Reason)
	// Notice reports. It may block: neither renewals nor the end of the run wait for it.
	Notice(n Notice, err error)
}

// Terms are the terms of a lease.
type Terms struct {
	// Length is how long the lease holds after it was given. Zero means no lease: only RunEnd counts.
	Length time.Duration
	// Anchor is the time at which the operation that gave the lease was sent, with its monotonic reading.
	Anchor time.Time
	// RunEnd is the time at which the run must end in any case.
	RunEnd time.Time
	// Takeover means that another run may begin once the lease has ended.
	Takeover bool
}

const (
	// Renewals are sent after 1/renewPart of a lease, and after a failure after 1/retryPart.
	renewPart = 3
	retryPart = 15
	// The authority ends 1/marginPart of a lease before its possible end.
	marginPart = 10
	// A renewal may be sent 1/earlyPart of a lease earlier, together with renewals of other leases.
	earlyPart = 60
)

// state is the work that is left.
type state uint8

const (
	unstarted state = iota
	renewing        // renew, and watch over the authority and the end of the run
	watching        // wait for the end of the run: there is no lease, or the record is settled
	over            // none
	stopped         // none, and the owner is not called any more
)

// Lease is the lease of a run. The zero value has not started: all methods but Start do nothing.
type Lease struct {
	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // the parent of every renewal's context
	owner Owner

	// The terms. anchor is the time at which the last successful renewal was sent.
	length         time.Duration
	anchor, runEnd time.Time
	takeover       bool

	state state
	queue uint8 // of the keeper
	// settling means that the handler has ended, and its outcome is being written.
	settling bool
	// lost means that the lease may have ended. reported means that the owner was notified.
	lost, reported bool

	// keeper wakes the lease for the next action.
	keeper *Keeper
	wake   wake
	// renewAt is the time of the next renewal. abort cancels the current renewal. It is nil if there is none.
	renewAt time.Time
	abort   context.CancelFunc

	// hold counts the transactions that have held the record. held is the number of the current one; 0: none.
	hold, held uint32

	// busy counts the current renewals, ends and notices.
	busy sync.WaitGroup
}

// Start begins the renewals. Their contexts are derived from ctx, which must not end with the caller of the run. A Lease starts once.
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

// Stop ends the renewals. When it returns, no renewal and no notice is running. It may be called again.
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

// RunEnd returns Terms.RunEnd. It must not be called before Start has returned.
func (l *Lease) RunEnd() time.Time { return l.runEnd } // it does not change

// AuthorityEnd returns the time at which the run must have stopped, if others may take over. It is before the lease can have ended.
func (l *Lease) AuthorityEnd() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.authorityEnd()
}

func (l *Lease) authorityEnd() time.Time { return l.anchor.Add(Trusted(l.length)) }

// Trusted returns for how long after the anchor an owner trusts a lease: a tenth less than the lease holds.
func Trusted(length time.Duration) time.Duration { return length - length/marginPart }

// next returns the time of the next action, and how much earlier it may be done.
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

// guarded reports whether the end of the authority matters. It does not if it was reached before, or while nobody can take over.
func (l *Lease) guarded() bool { return !l.lost && l.held == 0 }

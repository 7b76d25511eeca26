package onlyonce

import (
	"context"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// renewPart of a lease passes between renewals, retryPart after one that has failed.
	renewPart = 3
	retryPart = 15
	// marginPart of a lease is how long before its possible end a run gives up its authority.
	marginPart = 10
)

// heartbeat renews the lease of a run, and ends the run when it has no right to go on. It owns one timer; what it does,
// it does on the timer's goroutine.
type heartbeat struct {
	mu sync.Mutex
	// timer fires at the next thing to do.
	timer *time.Timer
	// anchor is the start of the last operation that gave the lease: it cannot end before anchor plus lease.
	anchor time.Time
	// renewAt is when the next renewal is due.
	renewAt time.Time
	// renewing is closed when the renewal under way has ended, and nil when there is none; abort cuts it short. It waits to
	// be closed in renewed.
	renewing chan struct{}
	renewed  chan struct{}
	abort    context.CancelFunc
	// settling means that the run has ended and its outcome is being written.
	settling bool
	// over means that there is nothing to do any more.
	over bool
	// lost means that the lease may have ended.
	lost bool
	// reported means that the observer knows of the loss.
	reported bool
	// news is what the observer is to be told once the lock is given up; telling counts those who do.
	news    []news
	telling sync.WaitGroup
	// mute means a run without protection: there is no lease, only an end of the run.
	mute bool
	// held is since when a transaction of the handler's has held the record, so that nobody can take the key over; zero where none
	// does. Renewals wait for its end, and tell whether it was rolled back.
	held time.Time
}

type news struct {
	kind EventKind
	err  error
}

func (x *execution) startHeartbeat(anchor time.Time) {
	h := &x.heartbeat

	h.mu.Lock()
	defer h.mu.Unlock()

	h.anchor = anchor
	h.renewAt = anchor.Add(x.policy.Lease / renewPart)
	h.timer = time.AfterFunc(x.nextBeat().Sub(x.started), x.beat) // started a moment ago
}

// stopHeartbeat returns when no renewal is under way any more.
func (x *execution) stopHeartbeat() {
	h := &x.heartbeat

	h.mu.Lock()
	h.over = true
	h.timer.Stop()

	renewing, abort := h.renewing, h.abort
	h.mu.Unlock()

	if renewing != nil {
		abort()
		<-renewing
	}

	h.telling.Wait()
}

// authorityEnd is when the run must have stopped, where others may take over once the lease has ended. It is measured on
// the monotonic clock from before the lease was asked for, so it comes before the lease can have ended.
func (x *execution) authorityEnd() time.Time {
	return x.heartbeat.anchor.Add(x.policy.Lease - x.policy.Lease/marginPart)
}

// nextBeat is when there is something to do next.
func (x *execution) nextBeat() time.Time {
	h := &x.heartbeat
	next := x.runEnd

	if h.mute {
		return next
	}

	if end := x.authorityEnd(); end.Before(next) && h.held.IsZero() && (x.guarantee.TakeoverAllowed() || !h.lost) {
		next = end
	}

	if h.renewing == nil && h.renewAt.Before(next) {
		next = h.renewAt
	}

	return next
}

// beat does what is due.
func (x *execution) beat() {
	h := &x.heartbeat

	h.mu.Lock()
	defer x.unlockAndTell()

	if h.over {
		return
	}

	now := time.Now()

	if !now.Before(x.runEnd) {
		h.over = true
		x.cancel(ErrMaxRun)

		return
	}

	if !h.mute && h.held.IsZero() && !now.Before(x.authorityEnd()) && x.loseAuthority() {
		return
	}

	if !h.mute && h.renewing == nil && !now.Before(h.renewAt) {
		x.renew()
	}

	if !h.over {
		h.timer.Reset(time.Until(x.nextBeat()))
	}
}

// loseAuthority reports that the lease may have ended. Where others may take over it ends the run, and returns true.
// Under AtMostOnce nobody may: ending the run would only make its outcome unknown.
func (x *execution) loseAuthority() bool {
	h := &x.heartbeat

	if !h.lost {
		h.lost = true

		if !h.settling {
			x.reportLoss()
		}
	}

	if !x.guarantee.TakeoverAllowed() {
		return false
	}

	h.over = true
	x.cancel(ErrLeaseLost)

	return true
}

// renew asks the store for another lease. It is called with the lock held, and gives it up while the store is asked; the
// timer watches over the run meanwhile.
func (x *execution) renew() {
	h := &x.heartbeat
	done := make(chan struct{})

	ctx, abort := context.WithCancel(x.base)
	defer abort()

	h.renewing, h.abort = done, abort
	h.timer.Reset(time.Until(x.nextBeat()))
	h.mu.Unlock()

	bounded, cancel := x.engine.storeContext(ctx)
	sent := time.Now()
	res, err := x.engine.store.Renew(bounded, store.Renewal{Key: x.key, Token: x.claim.Token, Lease: x.policy.Lease})

	cancel()

	h.mu.Lock()
	h.renewing, h.renewed = nil, done

	switch {
	case h.over:
	case err != nil && !h.held.IsZero():
		h.renewAt = time.Now().Add(x.policy.Lease / renewPart)
	case err != nil:
		h.renewAt = time.Now().Add(x.policy.Lease / retryPart)
		h.news = append(h.news, news{EventRenewFailed, err})
	case res.Applied:
		h.anchor = sent
		h.renewAt = sent.Add(x.policy.Lease / renewPart)
		h.lost, h.reported = false, false
		x.fence.Store(res.Record.Fence)

		if sent.After(h.held) {
			h.held = time.Time{} // the handler's transaction was rolled back
		}
	case h.settling, !h.held.IsZero() && res.Record.State == store.Completed && res.Record.Token == x.claim.Token:
		h.over = true // the outcome may be written already; whoever writes it will learn what became of the record
	default:
		x.overtaken(&res.Record)
	}
}

// overtaken ends the heartbeat of a run whose record is not its own, or not running, any more. Somebody else may run at
// any time, or does, so the run is ended too; unless the record was settled for this very run.
func (x *execution) overtaken(rec *store.Record) {
	h := &x.heartbeat

	h.over = true

	x.reportLoss()

	if settled := rec.State != store.Absent && rec.Token == x.claim.Token; settled && !x.guarantee.TakeoverAllowed() {
		return
	}

	x.cancel(ErrLeaseLost)
}

// reportLoss lets the observer know, once, that the lease is lost. It is called with the lock held.
func (x *execution) reportLoss() {
	if !x.heartbeat.reported {
		x.heartbeat.reported = true
		x.heartbeat.news = append(x.heartbeat.news, news{EventLeaseLost, nil})
	}
}

// unlockAndTell gives the lock up before the observer is told, so that an observer which takes its time does not keep a
// run from being ended.
func (x *execution) unlockAndTell() {
	h := &x.heartbeat

	told, renewed := h.news, h.renewed
	h.news, h.renewed = nil, nil

	if len(told) > 0 {
		h.telling.Add(1)
		defer h.telling.Done()
	}

	if renewed != nil {
		close(renewed)
	}

	h.mu.Unlock()

	for _, n := range told {
		x.observe(n.kind, n.err)
	}
}

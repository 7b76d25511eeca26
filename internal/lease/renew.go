package lease

import (
	"context"
	"time"
)

// notices are the calls of the owner that are made after the lock is released.
type notices struct {
	end    Reason // 0: none
	failed error
	lost   bool
}

// fire does one action that is due. If another one is due, the keeper wakes the lease again at once. So that action does not wait for the
// owner.
func (l *Lease) fire() {
	l.mu.Lock()

	if l.state >= over {
		l.mu.Unlock()

		return
	}

	var n notices

	now := time.Now()

	switch {
	case !now.Before(l.runEnd):
		l.end(&n, RunOver)
	case l.state != renewing:
	case l.guarded() && !now.Before(l.authorityEnd()):
		l.loseAuthority(&n)
	case l.abort == nil && !now.Before(l.renewAt.Add(-l.early())):
		n = l.renew(now)
	}

	l.rearm()
	l.unlockAndNotify(&n)
}

// rearm makes the keeper wake the lease for the next action.
func (l *Lease) rearm() {
	if l.state < over {
		at, early := l.next()
		l.keeper.set(l, at, early)
	}
}

func (l *Lease) end(n *notices, reason Reason) {
	if l.state < over {
		l.state, n.end = over, reason
	}
}

// loseAuthority reports that the lease may have ended. It ends the run if others may take over.
func (l *Lease) loseAuthority(n *notices) {
	l.lost = true

	if !l.settling {
		l.report(n)
	}

	switch {
	case !l.takeover:
	case l.settling:
		l.state = over
	default:
		l.end(n, AuthorityLost)
	}
}

// renew requests another lease from the store. The lock is held when it is called, and released during the request. Meanwhile the keeper
// wakes the lease for the end of the run.
func (l *Lease) renew(now time.Time) notices {
	ctx, abort := context.WithCancel(l.ctx)
	defer abort()

	held := l.held
	l.abort = abort
	l.busy.Add(1)
	defer l.busy.Done() // later notices are counted separately

	l.rearm()
	l.mu.Unlock()

	answer, err := l.owner.Renew(ctx)

	l.mu.Lock()
	l.abort = nil

	if l.state != renewing {
		return notices{}
	}

	if err != nil {
		return l.failed(err)
	}

	return l.answered(answer, now, held)
}

// failed plans the next renewal. A failure is not reported while a transaction holds the record, because the renewal waits for it.
func (l *Lease) failed(err error) notices {
	if l.held != 0 {
		l.renewAt = time.Now().Add(l.length / renewPart)

		return notices{}
	}

	l.renewAt = time.Now().Add(l.length / retryPart)

	return notices{failed: err}
}

// answered applies the answer to a renewal. Held is the number of the transaction that held the record when it was sent, or 0.
func (l *Lease) answered(answer Answer, sent time.Time, held uint32) (n notices) {
	switch {
	case answer == Renewed:
		l.anchor = sent
		l.renewAt = sent.Add(l.length / renewPart)
		l.lost, l.reported = false, false

		if l.held == held {
			l.held = 0 // the transaction was rolled back
		}
	case l.settling:
		l.state = over // writing the outcome shows what became of the record
	case answer == Settled && l.held != 0:
		l.state = watching // the transaction has committed
	case answer == Settled && !l.takeover:
		l.state = watching
		l.report(&n)
	default:
		l.report(&n)
		l.end(&n, AuthorityLost)
	}

	return n
}

func (l *Lease) report(n *notices) {
	n.lost = n.lost || !l.reported
	l.reported = true
}

// unlockAndNotify releases the lock, and then calls the owner. The end of the run comes first, because reports may block.
func (l *Lease) unlockAndNotify(n *notices) {
	if n.end == 0 && n.failed == nil && !n.lost {
		l.mu.Unlock()

		return
	}

	if l.state != stopped {
		l.busy.Add(1)
		defer l.busy.Done()
	}

	l.mu.Unlock()

	if n.end != 0 {
		l.owner.End(n.end)
	}

	if n.failed != nil {
		l.owner.Notice(RenewFailed, n.failed)
	}

	if n.lost {
		l.owner.Notice(Lost, nil)
	}
}

package lease

import (
	"context"
	"time"
)

// notices is what the owner is called with once the lock is released.
type notices struct {
	end    Reason // 0 for none
	failed error
	lost   bool
}

// fire does what is due. It does one thing: the keeper wakes the lease again at once for what else is due, so that it does not wait
// for the owner.
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

// rearm lets the keeper wake the lease at the next thing to do.
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

// loseAuthority reports that the lease may have ended. It ends the run where others may take over.
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

// renew requests another lease from the store. It is called with the lock held, and releases it meanwhile. The keeper wakes the
// lease for the end of the run.
func (l *Lease) renew(now time.Time) notices {
	ctx, abort := context.WithCancel(l.ctx)
	defer abort()

	held := l.held
	l.abort = abort
	l.busy.Add(1)
	defer l.busy.Done() // notices that follow are counted on their own

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

// failed plans the next try. A renewal waits for a transaction that holds the record, so its failure is not reported then.
func (l *Lease) failed(err error) notices {
	if l.held != 0 {
		l.renewAt = time.Now().Add(l.length / renewPart)

		return notices{}
	}

	l.renewAt = time.Now().Add(l.length / retryPart)

	return notices{failed: err}
}

// answered takes in the answer to a renewal that was sent while the transaction held, or none, held the record.
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
		l.state = over // whoever settles the run will learn what has become of the record
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

// unlockAndNotify releases the lock before it calls the owner. The end of the run comes first: reports may take their time.
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

package lease

// This file has the methods by which the owner informs its lease.

// Settling means that the handler has ended. From now on the end of the authority neither ends the run nor is reported: writing the outcome
// shows what became of the record.
func (l *Lease) Settling() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.settling = true
}

// Hold means that a transaction of the handler holds the record. Nobody can take over before it ends, and a renewal waits for it. If a
// renewal that is sent later succeeds, the transaction was rolled back, and the lease counts again.
func (l *Lease) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.hold++
	l.held = l.hold
}

// Overtaken means that the record does not belong to the owner any more. It reports the loss and ends the run. After Stop it does nothing.
func (l *Lease) Overtaken() {
	var n notices

	l.mu.Lock()

	if l.state != unstarted && l.state != stopped {
		l.report(&n)
		l.end(&n, AuthorityLost)
	}

	l.unlockAndNotify(&n)
}

// Lose reports the loss, unless it was reported before. It does not end the run. It may also be called after Stop.
func (l *Lease) Lose() {
	var n notices

	l.mu.Lock()

	if l.state != unstarted {
		l.report(&n)
	}

	l.unlockAndNotify(&n)
}

package lease

// What the owner reports to its lease.

// Settling means that the handler has ended. From now on the end of the authority neither ends the run nor is reported:
// whoever writes the outcome will learn what has become of the record.
func (l *Lease) Settling() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.settling = true
}

// Hold means that a transaction of the handler's holds the record. Nobody can take over before it ends, and a renewal waits for
// that. A renewal that is sent later and succeeds means that the transaction was rolled back: the lease counts again.
func (l *Lease) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.hold++
	l.held = l.hold
}

// Overtaken means that the record is known not to be the owner's. It reports the loss, and ends the run. It does nothing after Stop.
func (l *Lease) Overtaken() {
	var n notices

	l.mu.Lock()

	if l.state != unstarted && l.state != stopped {
		l.report(&n)
		l.end(&n, AuthorityLost)
	}

	l.unlockAndNotify(&n)
}

// Lose reports the loss, unless that was done, and ends nothing. It may be called after Stop, too.
func (l *Lease) Lose() {
	var n notices

	l.mu.Lock()

	if l.state != unstarted {
		l.report(&n)
	}

	l.unlockAndNotify(&n)
}

package model

// Who may see an answer: the caller of its run always, and others if their own replay check allows it.

// follow lets a call wait in one process with another that is on its way.
func (c *checker) follow(s *state, i uint8, visit visitor) {
	for leader := uint8(1); leader < i; leader++ {
		switch s.call(leader).phase {
		case claiming, running, settling:
			next := *s
			next.call(i).phase, next.call(i).follows = following, leader
			visit(event{call: i, what: "waits with call %d", number: leader}, next)
		case waiting, following, withdrawing, withdrawn, ended, crashed:
		}
	}
}

// land answers the calls that wait for a call that has found a completed record.
func (c *checker) land(s *state, leader uint8) {
	for i := uint8(1); i <= c.calls; i++ {
		me := s.call(i)
		if me.phase != following || me.follows != leader {
			continue
		}

		me.phase = ended

		if s.record.request == c.requestOf(i) {
			c.show(s, i, WaiterNotAsked)
		}
	}
}

// show gives the completed record's answer to a call, and reports whether it may have it. If callers are private, the
// replay check of each denies the answers of others. The fault unasked skips the check.
func (c *checker) show(s *state, i uint8, unasked Fault) bool {
	denied := c.private && s.record.owner != i

	switch {
	case !denied:
	case unasked != NoFault && c.fault == unasked:
		s.violate(OwnReplayCheck)
	default:
		return false
	}

	s.give(s.record.outcome)

	return true
}

// unasked is the fault of an owner that finds another's answer when it writes its end.
func (c *checker) unasked() Fault {
	if c.inTransaction() {
		return CommitNotAsked
	}

	return OvertakenNotAsked
}

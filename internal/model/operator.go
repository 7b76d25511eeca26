package model

import "github.com/onlyonce-go/onlyonce/store"

// operatorSteps are the steps of an operator who knows the outcome.
func (c *checker) operatorSteps(s *state, visit visitor) {
	rec := &s.record

	if c.forgets {
		c.forgetSteps(s, visit)
	}

	if rec.unknown() {
		if s.effects > 0 && s.resolves[0]&(1<<rec.fence) == 0 {
			next := *s
			next.resolves[0] |= 1 << rec.fence
			visit(event{what: "the operator resolves it as completed"}, next)
		}

		if s.effects == 0 && (!rec.ownerAlive || c.fault == CarelessResolver) && s.resolves[1]&(1<<rec.fence) == 0 {
			next := *s
			next.resolves[1] |= 1 << rec.fence
			visit(event{what: "the operator resolves it as not executed"}, next)
		}
	}

	texts := [...]string{
		"the operator's resolution as completed arrives, which expects fence %d",
		"the operator's resolution as not executed arrives, which expects fence %d",
	}

	for fence := range uint8(maxFence + 1) {
		for n, as := range []store.State{store.Completed, store.Released} {
			if s.resolves[n]&(1<<fence) == 0 {
				continue
			}

			if next, _ := c.deliver(s, message{kind: resolve, fence: fence, as: as}); next.record != s.record {
				visit(event{what: texts[n], number: fence}, next)
			}
		}
	}
}

// forgetSteps are the steps of an operator who forgets a record, once.
func (c *checker) forgetSteps(s *state, visit visitor) {
	if rec := &s.record; c.mayForget(s) {
		next := *s
		next.forgets[rec.owner-1] |= 1 << rec.fence
		visit(event{what: "the operator forgets the record"}, next)
	}

	for owner := uint8(1); owner <= c.calls; owner++ {
		for fence := range uint8(maxFence + 1) {
			if s.forgets[owner-1]&(1<<fence) != 0 {
				c.forget(s, message{kind: forget, owner: owner, fence: fence}, visit)
			}
		}
	}
}

// mayForget reports whether the operator may forget the record: no write of its owner is under way, and no overtaken
// owner still runs. Other cases are outside the model.
func (c *checker) mayForget(s *state) bool {
	rec := &s.record

	if rec.state == store.Absent || s.forgotten || s.forgets[rec.owner-1]&(1<<rec.fence) != 0 {
		return false
	}

	switch s.call(rec.owner).phase {
	case withdrawn, ended, crashed:
		return !rec.ownerAlive && !s.runs() || c.fault == ForgottenAlive
	case running:
		return c.fault == ForgottenAlive
	case waiting, following, claiming, settling, withdrawing:
	}

	return false
}

func (c *checker) forget(s *state, m message, visit visitor) {
	next, _ := c.deliver(s, m)
	if next.record == s.record {
		return
	}

	// By the operator's decision, the key begins again. A late copy of the message does not restart it.
	if !s.forgotten {
		next.forgotten = true
		next.effects, next.answer, next.promise = 0, 0, 0
		next.forgetClaims()
		next.forgetEnds()
	}

	visit(event{call: m.owner, what: "the operator's forgetting of its record arrives, which expects fence %d", number: m.fence}, next)
}

// forgetEnds drops the messages of calls that have ended.
func (s *state) forgetEnds() {
	for i := range s.calls {
		me := &s.calls[i]

		switch me.phase {
		case withdrawn, ended, crashed:
			me.releases, me.written = 0, false
		case waiting, following, claiming, running, settling, withdrawing:
		}
	}
}

package model

import "github.com/onlyonce-go/onlyonce/store"

// reduce makes states equal that cannot be told apart by anything that may follow: messages that can change nothing any
// more are forgotten, and so is what a call that has ended knew. It relies on the fence and the token being what the rules
// say, so it is not used where a rule is turned off.
func (c *checker) reduce(s *state) {
	rec := &s.record

	for i := uint8(1); i <= c.calls; i++ {
		me := s.call(i)

		if rec.state != store.Absent {
			me.claims = relevant(me.claims, rec.owner == i, rec.fence)
			me.releases = relevant(me.releases, rec.owner == i, rec.fence)
		}

		if me.asked != rec.fence {
			me.asked = 0
		}

		switch me.phase {
		case crashed:
			me.phase = ended
		case waiting, following, claiming, running, settling, withdrawing, withdrawn, ended:
		}

		if me.phase != ended && me.phase != withdrawn {
			continue
		}

		me.affected, me.doubtful = false, false

		if me.claims == 0 {
			me.asked = 0
		}

		// What it wrote matters as long as it owns the record, or may yet own it.
		if rec.state != store.Absent && rec.owner != i && me.claims == 0 {
			me.renewed, me.written = false, false
		}

		if !me.written {
			me.end, me.expects = noEnd, 0
		}
	}

	if rec.state != store.Absent {
		for n := range s.resolves {
			s.resolves[n] &= 1 << rec.fence
		}

		for n := range s.forgets {
			if !s.forgotten {
				s.forgets[n] &= 1 << rec.fence
			}
		}
	}

	if rec.state == store.Completed {
		s.resolves = [2]uint8{}
	}

	// The key is too old whatever the retention is by now.
	if c.timeOrdered && s.age >= methodDays {
		s.raised = 1 + methodDays
	}
}

// relevant keeps the messages that may still change a record: those of its owner, whatever fence they expect, and those
// that expect its fence, since the fence only rises.
func relevant(messages uint8, owner bool, fence uint8) uint8 {
	if owner {
		return min(messages, 1)
	}

	return messages & (1 << fence)
}

package model

import "github.com/onlyonce-go/onlyonce/store"

// reduce merges states that no later step can tell apart. It drops messages that can no longer change anything, and the
// knowledge of calls that have ended. It relies on the rules for fence and token, so it is not used when a rule is
// turned off.
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

		// Its writes matter while it owns the record, or may still win it.
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

	// The key is too old under any retention.
	if c.timeOrdered && s.age >= methodDays {
		s.raised = 1 + methodDays
	}
}

// relevant keeps the messages that may still change a record: those of its owner, with any expected fence, and those
// that expect its fence, because the fence only rises.
func relevant(messages uint8, owner bool, fence uint8) uint8 {
	if owner {
		return min(messages, 1)
	}

	return messages & (1 << fence)
}

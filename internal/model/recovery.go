package model

import "github.com/onlyonce-go/onlyonce/store"

// unknown reports whether the outcome of the record's last run is unknown.
func (r *record) unknown() bool {
	return r.state == store.Unknown || r.state == store.Running && !r.leaseAlive
}

// mustAsk reports whether a call must call the recovery function about the owner of the record.
func (c *checker) mustAsk(s *state, i uint8) bool {
	asked := s.call(i).asked

	if !c.recovery || !s.record.unknown() || asked == s.record.fence {
		return false
	}

	switch c.fault {
	case AskedOnce:
		return asked == 0
	case AnswerAboutAnother:
		return !s.asking(i)
	default:
		return true
	}
}

// asking reports whether another call under way asks about an earlier owner.
func (s *state) asking(i uint8) bool {
	for n := range s.calls {
		other := &s.calls[n]
		if other != s.call(i) && other.phase == claiming && other.asked != 0 && other.asked != s.record.fence {
			return true
		}
	}

	return false
}

// ask calls the recovery function about the owner of the record. Its finding becomes a message, like an operator's.
func (c *checker) ask(s *state, i uint8, visit visitor) {
	rec := &s.record

	found := func(what string, note func(next *state)) {
		next := *s
		next.call(i).asked = rec.fence
		note(&next)
		visit(event{call: i, what: what, number: rec.fence}, next)
	}

	found("asks about the owner with fence %d, of whom nothing can be found out", func(*state) {})

	if s.effects > 0 {
		found("asks about the owner with fence %d, and finds the effect", func(next *state) { next.resolves[0] |= 1 << rec.fence })
	}

	if s.effects == 0 && !rec.ownerAlive {
		found("asks about the owner with fence %d, and finds that nothing happened", func(next *state) { next.resolves[1] |= 1 << rec.fence })
	}
}

// checkAsked checks a call that runs, or ends, after an owner with this fence.
func (c *checker) checkAsked(s *state, i, fence uint8) {
	if c.recovery && s.call(i).asked != fence {
		s.violate(AskedFirst)
	}
}

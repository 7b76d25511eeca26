package model

import "github.com/onlyonce-go/onlyonce/store"

// runSteps are the steps of a handler, with a living lease or without: it may have been paused.
func (c *checker) runSteps(s *state, i uint8, visit visitor) {
	me := s.call(i)
	inside := c.inTransaction()

	if !me.affected && !inside {
		next := *s
		next.call(i).affected = true
		c.effect(&next)
		visit(event{call: i, what: "has its effect"}, next)
	}

	if !me.renewed {
		next := *s
		next.call(i).renewed = true
		visit(event{call: i, what: "sends a renewal"}, next)
	}

	end := func(how ending, label string) {
		next := *s
		next.call(i).phase, next.call(i).end = settling, how
		next.call(i).written = true

		if how == notExecuted || how == ambiguous && c.guarantee.TakeoverAllowed() {
			next.call(i).releases |= 1 << me.expects
		}

		visit(event{call: i, what: label}, next)
	}

	if me.affected || inside {
		end(definite, "ends with an outcome")
	}

	if !me.affected {
		end(notExecuted, "ends, and reports that nothing happened")
	}

	end(ambiguous, "ends ambiguously")
}

// endMessage is the message that a call sends at its end.
func (c *checker) endMessage(s *state, i uint8) message {
	me := s.call(i)

	switch {
	case me.end == definite:
		return message{call: i, kind: complete}
	case me.end == ambiguous && !c.guarantee.TakeoverAllowed():
		return message{call: i, kind: hold}
	default:
		return message{call: i, kind: release, fence: me.expects, ambiguous: me.end == ambiguous}
	}
}

// settled delivers the end of a run, and the store's answer to the call.
func (c *checker) settled(s *state, i uint8, visit visitor) {
	m := c.endMessage(s, i)
	next, applied := c.deliver(s, m)
	me := next.call(i)
	me.phase = ended

	if me.end == notExecuted && applied && !me.doubtful && s.effects > 0 {
		next.violate(NoFalseRelease)
	}

	rec := &next.record

	switch {
	case m.kind == complete && applied:
		next.give(i)
		c.land(&next, i)
		visit(event{call: i, what: "has its outcome recorded"}, next)
	case !applied && rec.state == store.Completed:
		if rec.owner == i && !rec.resolved {
			next.violate(NoFalseLoss)
		}

		c.land(&next, i)

		what := "gets another's outcome"
		if !c.show(&next, i, c.unasked()) {
			what = "finds another's outcome, and its replay check keeps it from it"
		}

		visit(event{call: i, what: what}, next)
	default:
		if m.kind == complete && rec.owner == i && !rec.resolved {
			next.violate(NoFalseLoss)
		}

		visit(event{call: i, what: "has written its end"}, next)
	}
}

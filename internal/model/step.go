package model

import (
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// event is what leads from one state to the next.
type event struct {
	call  uint8  // 0 for what no call does
	what  string // with a verb for the fence, where it matters
	fence uint8
}

// String tells the event.
func (e event) String() string {
	text := e.what
	if strings.Contains(text, "%d") {
		text = fmt.Sprintf(text, e.fence)
	}

	if e.call == 0 {
		return text
	}

	return fmt.Sprintf("call %d: %s", e.call, text)
}

type visitor func(e event, next state)

// steps visits every state that can follow s.
func (c *checker) steps(s *state, visit visitor) {
	for i := range c.calls {
		c.callSteps(s, i+1, visit)
	}

	c.storeSteps(s, visit)
	c.operatorSteps(s, visit)
}

func (s *state) call(i uint8) *call { return &s.calls[i-1] }

func (s *state) live() int {
	n := 0

	for i := range s.calls {
		switch s.calls[i].phase {
		case claiming, running, settling, withdrawing:
			n++
		case waiting, withdrawn, ended, crashed:
		}
	}

	return n
}

// callSteps is what a call can do, as the engine does it.
func (c *checker) callSteps(s *state, i uint8, visit visitor) {
	me := s.call(i)

	// Calls begin in order, which loses nothing: they differ by their number alone.
	if me.phase == waiting {
		if s.live() < 2 && (i == 1 || s.call(i-1).phase != waiting) {
			next := *s
			next.call(i).phase = claiming
			next.call(i).claims = 1
			visit(event{call: i, what: "sends its claim, which expects no record"}, next)
		}

		return
	}

	if me.phase == withdrawn || me.phase == ended || me.phase == crashed {
		return
	}

	next := *s
	next.call(i).phase = crashed
	visit(event{call: i, what: "crashes"}, next)

	switch me.phase {
	case claiming:
		c.claimAnswered(s, i, visit)

		next = *s
		if c.fault == NoRelease {
			next.call(i).phase = withdrawn
		} else {
			next.call(i).phase = withdrawing
			next.call(i).releases |= 1 << me.expects
		}

		visit(event{call: i, what: "gives its claim up"}, next)
	case withdrawing:
		m := message{call: i, kind: release, fence: me.expects}
		next, _ = c.deliver(s, m)
		next.call(i).phase = withdrawn
		visit(event{call: i, what: "learns that its release has arrived"}, next)
	case running:
		c.runSteps(s, i, visit)
	case settling:
		c.settled(s, i, visit)

		next = *s
		next.call(i).phase = ended
		visit(event{call: i, what: "gives up to write its end"}, next)
	case waiting, withdrawn, ended, crashed:
	}
}

// claimAnswered delivers the claim, and the store's answer to the call.
func (c *checker) claimAnswered(s *state, i uint8, visit visitor) {
	m := message{call: i, kind: claim, fence: s.call(i).expects}
	next, applied := c.deliver(s, m)
	me := next.call(i)
	rec := &next.record

	switch {
	case applied:
		me.phase = running
		me.doubtful = rec.doubtful && c.fault != DoubtForgotten
		visit(event{call: i, what: "wins its claim"}, next)
	case rec.state != store.Absent && rec.request != c.requestOf(i) && c.fault != FingerprintIgnored:
		me.phase = ended
		visit(event{call: i, what: "is told that the key belongs to another request"}, next)
	case rec.state == store.Completed:
		me.phase = ended
		next.give(rec.outcome)
		visit(event{call: i, what: "gets a replay"}, next)
	case rec.state == store.Running && rec.owner == i:
		next.violate(NoFalseLoss)
		visit(event{call: i, what: "is told that it runs elsewhere"}, next)
	case c.mayStart(rec, i):
		me.expects = rec.fence
		me.claims |= 1 << rec.fence
		visit(event{i, "claims again and expects fence %d", rec.fence}, next)
	default:
		me.phase = ended
		visit(event{call: i, what: "is told to come back later"}, next)
	}
}

func (c *checker) mayStart(rec *record, i uint8) bool {
	op := c.claimOf(i, rec.fence)

	concrete := rec.concrete()
	concrete.Guarantee = c.guarantee

	if c.fault == TakeoverAtMostOnce {
		concrete.Guarantee, op.Guarantee = store.AtLeastOnce, store.AtLeastOnce
	}

	// A call never claims with a token that it has seen released: it takes a new one, and is another call.
	return rec.owner != i && op.MayStart(&concrete, now())
}

// runSteps is what a handler can do, whether its lease is alive or not: it may have been paused.
func (c *checker) runSteps(s *state, i uint8, visit visitor) {
	me := s.call(i)
	inside := c.guarantee == store.ExactlyOnce // the effect commits with the record

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
		end(notExecuted, "ends and says that nothing happened")
	}

	end(ambiguous, "ends ambiguously")
}

// endMessage is what a call writes at its end.
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
		visit(event{call: i, what: "has its outcome recorded"}, next)
	case !applied && rec.state == store.Completed:
		if rec.owner == i && !rec.resolved {
			next.violate(NoFalseLoss)
		}

		next.give(rec.outcome)
		visit(event{call: i, what: "gets another's outcome"}, next)
	default:
		if m.kind == complete && rec.owner == i && !rec.resolved {
			next.violate(NoFalseLoss)
		}

		visit(event{call: i, what: "has written its end"}, next)
	}
}

// storeSteps are messages whose answers are lost, or that are late copies, and the passing of time.
func (c *checker) storeSteps(s *state, visit visitor) {
	arrive := func(m message, what string) {
		next, _ := c.deliver(s, m)
		if next.record != s.record {
			visit(event{m.call, what, m.fence}, next)
		}
	}

	for i := uint8(1); i <= c.calls; i++ {
		me := s.call(i)

		for fence := range uint8(maxFence + 1) {
			if me.claims&(1<<fence) != 0 {
				arrive(message{call: i, kind: claim, fence: fence}, "a copy of its claim arrives, which expects fence %d; the answer is lost")
			}

			if me.releases&(1<<fence) != 0 {
				m := message{call: i, kind: release, fence: fence, ambiguous: me.end == ambiguous}
				arrive(m, "a copy of its release arrives, which expects fence %d; the answer is lost")
			}
		}

		if me.renewed {
			arrive(message{call: i, kind: renew}, "a copy of its renewal arrives; the answer is lost")
		}

		if me.written {
			arrive(c.endMessage(s, i), "a copy of what it writes at its end arrives; the answer is lost")
		}
	}

	if s.record.leaseAlive {
		next := *s
		next.record.leaseAlive = false
		visit(event{what: "the lease ends"}, next)
	}

	// MaxRun bounds a run, so a lease after it the owner has ended.
	owner := s.record.owner
	if s.record.ownerAlive && !s.record.leaseAlive && (owner == 0 || owner > calls || s.call(owner).phase != running) {
		next := *s
		next.record.ownerAlive = false
		visit(event{what: "the owner cannot be alive any more"}, next)
	}
}

// operatorSteps are those of an operator who knows what happened.
func (c *checker) operatorSteps(s *state, visit visitor) {
	rec := &s.record

	if rec.state == store.Unknown || rec.state == store.Running && !rec.leaseAlive {
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
				visit(event{what: texts[n], fence: fence}, next)
			}
		}
	}
}

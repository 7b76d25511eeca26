package model

import (
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// event describes a step from one state to the next.
type event struct {
	call   uint8  // 0 for a step of no call
	what   string // with a verb for the number, where it matters
	number uint8  // a fence, or another call
}

// String describes the event.
func (e event) String() string {
	text := e.what
	if strings.Contains(text, "%d") {
		text = fmt.Sprintf(text, e.number)
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
	c.timeSteps(s, visit)
	c.operatorSteps(s, visit)
}

func (s *state) call(i uint8) *call { return &s.calls[i-1] }

func (s *state) live() int {
	n := 0

	for i := range s.calls {
		switch s.calls[i].phase {
		case following, claiming, running, settling, withdrawing:
			n++
		case waiting, withdrawn, ended, crashed:
		}
	}

	return n
}

// callSteps are the steps of a call, as in the engine.
func (c *checker) callSteps(s *state, i uint8, visit visitor) {
	me := s.call(i)

	// Calls begin in order. That loses nothing, because they differ only in their numbers.
	if me.phase == waiting {
		if s.live() < 2 && (i == 1 || s.call(i-1).phase != waiting) {
			c.begin(s, i, visit)
			c.follow(s, i, visit)
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
	case following:
		if s.call(me.follows).phase > settling { // whom it follows has ended without a record
			c.begin(s, i, visit)
		}
	case claiming:
		c.claimAnswered(s, i, visit)

		next = *s

		switch {
		case me.expects == lookOnly: // it could win nothing
			next.call(i).phase = ended
		case c.fault == NoRelease:
			next.call(i).phase = withdrawn
		default:
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

// begin sends the first claim of a call.
func (c *checker) begin(s *state, i uint8, visit visitor) {
	next := *s
	me := next.call(i)
	me.phase, me.follows, me.days = claiming, 0, c.retention(s)

	if c.tooOld(s) {
		me.expects = lookOnly
		visit(event{call: i, what: "looks for a record, since its key is old"}, next)

		return
	}

	me.claims = 1
	visit(event{call: i, what: "sends its claim, which expects no record"}, next)
}

// claimAnswered delivers the claim, and the store's answer to the call.
func (c *checker) claimAnswered(s *state, i uint8, visit visitor) {
	m := message{call: i, kind: claim, fence: s.call(i).expects}
	next, applied := c.deliver(s, m)
	me := next.call(i)
	rec := &next.record

	switch {
	case applied:
		me.phase, me.asked = running, 0
		me.doubtful = rec.doubtful && c.fault != DoubtForgotten
		visit(event{call: i, what: "wins its claim"}, next)
	case rec.state != store.Absent && rec.request != c.requestOf(i) && c.fault != FingerprintIgnored:
		me.phase = ended
		visit(event{call: i, what: "learns that the key belongs to another request"}, next)
	case rec.state == store.Completed:
		c.land(&next, i)

		what := "gets a replay"
		if !c.show(&next, i, NoFault) {
			what = "finds an answer, and its replay check keeps it from it"
		}

		visit(event{call: i, what: what}, next)
	case rec.state == store.Running && rec.owner == i:
		next.violate(NoFalseLoss)
		visit(event{call: i, what: "learns that it runs elsewhere"}, next)
	case c.tooOld(s) && c.provesNothing(rec):
		me.phase = ended
		visit(event{call: i, what: "learns that its key is too old"}, next)
	case c.mustAsk(&next, i):
		c.ask(&next, i, visit)
	case c.mayStart(s, rec, i):
		me.expects = rec.fence
		me.claims |= 1 << rec.fence
		visit(event{i, "claims again and expects fence %d", rec.fence}, next)
	case rec.unknown():
		me.phase = ended
		c.checkAsked(&next, i, rec.fence)
		visit(event{call: i, what: "learns that the outcome is unknown"}, next)
	default:
		me.phase = ended
		visit(event{call: i, what: "gets IDEMPOTENCY_IN_PROGRESS"}, next)
	}
}

func (c *checker) mayStart(s *state, rec *record, i uint8) bool {
	op := c.claimOf(s, i, rec.fence)

	concrete := rec.concrete()
	concrete.Guarantee = c.guarantee

	if c.fault == TakeoverAtMostOnce {
		concrete.Guarantee, op.Guarantee = store.AtLeastOnce, store.AtLeastOnce
	}

	// A call never claims with a token that it has seen released. It takes a new token, which makes it another call here.
	return rec.owner != i && op.MayStart(&concrete, now())
}

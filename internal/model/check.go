package model

import (
	"cmp"
	"slices"

	"github.com/onlyonce-go/onlyonce/store"
)

type checker struct {
	calls       uint8
	guarantee   store.Guarantee
	maxAttempts uint32
	twoRequests bool
	private     bool
	recovery    bool
	days        bool
	timeOrdered bool
	forgets     bool
	maxFence    uint8
	fault       Fault
}

// requestOf is the request of a call.
func (c *checker) requestOf(call uint8) uint8 {
	if c.twoRequests && call == c.calls {
		return 2 // the second request
	}

	return 1
}

// origin is how a state was reached first.
type origin struct {
	from  int32
	event event
}

// Check visits every reachable state, in the order of the number of steps.
func Check(config Config) Result {
	c := &checker{
		calls:     uint8(config.Calls), //nolint:gosec // 0 to 3
		guarantee: config.Guarantee, maxAttempts: config.MaxAttempts, twoRequests: config.TwoRequests, fault: config.Fault,
		private: config.Private, recovery: config.Recovery, days: config.Days || config.TimeOrdered, timeOrdered: config.TimeOrdered,
		forgets: config.Forgets, maxFence: cmp.Or(config.MaxFence, maxFence),
	}

	if c.calls == 0 {
		c.calls = calls
	}

	states := []state{{}}
	origins := []origin{{from: -1}}
	seen := map[state]struct{}{{}: {}}

	trace := func(at int32, last event) []string {
		labels := []string{last.String()}
		for ; at > 0; at = origins[at].from {
			labels = append(labels, origins[at].event.String())
		}

		slices.Reverse(labels)

		return labels
	}

	for at := int32(0); int(at) < len(states); at++ {
		if config.MaxStates > 0 && len(states) > config.MaxStates {
			return Result{States: len(states)}
		}

		here := states[at]

		var found *Result

		c.steps(&here, func(e event, next state) {
			if found != nil || next.record.fence > c.maxFence {
				return
			}

			if next.broken == "" && c.fault != ExpiryWithLease && !c.canEnd(&next) {
				next.broken = NoDeadEnd
			}

			if next.broken != "" {
				found = &Result{States: len(states), Broken: next.broken, Trace: trace(at, e)}

				return
			}

			if c.fault == NoFault {
				c.reduce(&next)
			}

			if _, ok := seen[next]; !ok {
				seen[next] = struct{}{}
				states = append(states, next)
				origins = append(origins, origin{from: at, event: e})
			}
		})

		if found != nil {
			return *found
		}
	}

	return Result{States: len(states), Complete: true}
}

// deliver applies a message to the store, and checks the invariants of the change.
func (c *checker) deliver(s *state, m message) (state, bool) {
	next := *s

	after, applied := c.apply(s, m)
	next.record = after
	before := &s.record

	if applied && before.state != store.Absent {
		c.checkFence(&next, before, m)
	}

	if before.state != store.Absent && after.state != store.Absent && after.fence < before.fence {
		next.violate(FenceRises)
	}

	if m.call != 0 && after.state == store.Running && after.owner == m.call && s.call(m.call).phase == withdrawn {
		next.violate(NoLateWin)
	}

	if m.kind == claim && before.state != store.Running && after.state == store.Running {
		c.checkKept(&next)
	}

	switch {
	case before.state == store.Completed && after != *before && m.kind != forget:
		next.violate(CompletedStays)
	case before.state != store.Completed && after.state == store.Completed:
		next.promise = after.days

		// In a transaction with the record, the effect happens with the completion.
		if c.inTransaction() && m.kind == complete {
			c.effect(&next)
		}
	}

	return next, applied
}

// checkFence checks an operation that has taken effect. If it starts or revives a run, it must raise the fence. A run
// starts only for the record's own request.
func (c *checker) checkFence(next *state, before *record, m message) {
	own := before.state == store.Running && before.owner == m.call
	started := m.kind == claim && !own
	revived := (m.kind == claim || m.kind == renew) && own && !before.leaseAlive

	if (started || revived) && next.record.fence <= before.fence {
		next.violate(FenceRises)
	}

	if started && before.state == store.Running {
		c.checkAsked(next, m.call, before.fence)
	}

	if started && before.request != c.requestOf(m.call) {
		next.violate(OneRequest)
	}
}

// inTransaction reports that the effect commits with the record.
func (c *checker) inTransaction() bool { return c.guarantee == store.ExactlyOnce }

// effect counts an effect. Under AtLeastOnce there may be several.
func (c *checker) effect(s *state) {
	if s.effects < 2 { // two are already too many
		s.effects++
	}

	if s.effects > 1 && c.guarantee != store.AtLeastOnce {
		s.violate(AtMostOneEffect)
	}
}

// give notes that somebody was given a recorded answer.
func (s *state) give(outcome uint8) {
	if s.answer == 0 {
		s.answer = outcome
	}

	if s.answer != outcome {
		s.violate(OneAnswer)
	}
}

// violate notes the first property that does not hold.
func (s *state) violate(p Property) {
	if s.broken == "" {
		s.broken = p
	}
}

// canEnd reports whether a retry or an operator can bring the record to an end, once all its workers have died and all
// time has passed.
func (c *checker) canEnd(s *state) bool {
	after := *s
	after.record.leaseAlive, after.record.ownerAlive = false, false

	switch after.record.state {
	case store.Absent, store.Released, store.Completed:
		return true
	case store.Running, store.Unknown:
	}

	if c.mayStart(&after, &after.record, operator) {
		return true
	}

	as := store.Released
	if s.effects > 0 {
		as = store.Completed
	}

	next, applied := c.apply(&after, message{kind: resolve, fence: after.record.fence, as: as})

	return applied && next.state == as
}

package model

import "github.com/onlyonce-go/onlyonce/store"

// Retentions and ages of keys are counted in days. Anything shorter, such as a claim, a lease or a run, is over when a
// day has passed. No copy of a claim arrives that late.
const (
	engineDays = 1 // the engine's retention
	methodDays = 2 // the method's, where it has one of its own, or once it is raised
)

// timeSteps are the steps of time, and the changes of a retention while time passes.
func (c *checker) timeSteps(s *state, visit visitor) {
	if s.record.leaseAlive {
		next := *s
		next.record.leaseAlive = false
		visit(event{what: "the lease ends"}, next)
	}

	// MaxRun bounds a run. When its lease has ended after that, the record's owner and the owners before it have ended.
	if s.record.ownerAlive && !s.record.leaseAlive && !s.runs() {
		next := *s
		next.record.ownerAlive = false
		visit(event{what: "the owner cannot be alive any more"}, next)
	}

	if c.days {
		c.daySteps(s, visit)
	}
}

func (c *checker) daySteps(s *state, visit visitor) {
	if c.timeOrdered && s.raised == 0 {
		next := *s
		next.raised = 1
		visit(event{what: "the method's retention is raised from a day to two"}, next)
	}

	if s.raised != 0 && s.raised <= methodDays && s.calls[0].phase == waiting && s.age == 0 {
		next := *s
		next.raised++
		visit(event{what: "a day passes before the key is made"}, next)
	}

	for i := range s.calls {
		switch s.calls[i].phase {
		case following, claiming, running:
			return
		case waiting, settling, withdrawing, withdrawn, ended, crashed:
		}
	}

	if !s.record.leaseAlive && !s.record.ownerAlive {
		c.dayPasses(s, visit)
	}
}

func (c *checker) dayPasses(s *state, visit visitor) {
	next := *s
	next.age = min(next.age+1, methodDays)
	next.forgetClaims()

	for i := range next.calls {
		// Its caller has long been answered. The background keeps trying its writes.
		if next.calls[i].phase == settling {
			next.calls[i].phase = ended
		}
	}

	if next.raised != 0 {
		next.raised = min(next.raised+1, 1+methodDays)
	}

	rec := next.record.concrete()
	if rec.Expired(now().Add(day)) {
		next.record = record{}
	} else if next.record.kept != 0 {
		next.record.kept--
	}

	// A time-ordered key must not run again for ever.
	if next.promise != 0 && !c.timeOrdered {
		next.promise--
	}

	// Another run of another key is right from then on.
	if !c.timeOrdered && s.record.state != store.Absent && next.record.state == store.Absent && next.promise == 0 {
		return
	}

	visit(event{what: "a day passes"}, next)
}

// forgetClaims drops the messages that win or keep the record. No copy of them outlives the record.
func (s *state) forgetClaims() {
	for i := range s.calls {
		s.calls[i].claims, s.calls[i].renewed = 0, false
	}

	s.resolves = [2]uint8{}
}

// runs reports that a handler runs.
func (s *state) runs() bool {
	for i := range s.calls {
		if s.calls[i].phase == running {
			return true
		}
	}

	return false
}

// retention is the method's, in days.
func (c *checker) retention(s *state) uint8 {
	if c.timeOrdered && s.raised == 0 || !c.days {
		return engineDays
	}

	return methodDays
}

// tooOld reports whether the key is too old to make a record. The life of keys is raised once the retention has been in
// force for that long. A key must be younger than its life, which stands for the tolerance between the clocks of
// clients and stores.
func (c *checker) tooOld(s *state) bool {
	life := uint8(engineDays)
	if s.raised > methodDays || s.raised != 0 && c.fault == LifeIsRetention {
		life = methodDays
	}

	return c.timeOrdered && c.fault != NoKeyLife && s.age >= life
}

// provesNothing reports whether an earlier record of the key may have expired: there is no record, or a late release
// has made it.
func (c *checker) provesNothing(rec *record) bool {
	return rec.state == store.Absent || rec.state == store.Released && !rec.started && c.fault != TombstoneProves
}

// checkKept checks a claim that has started a run.
func (c *checker) checkKept(s *state) {
	switch {
	case s.promise == 0:
	case c.timeOrdered:
		s.violate(OldKeyRests)
	default:
		s.violate(SettledIsKept)
	}
}

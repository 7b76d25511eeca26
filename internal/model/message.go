package model

// storeSteps deliver messages whose answers are lost, and late copies.
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
}

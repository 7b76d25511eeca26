package main

import (
	"context"
	"sync"
)

// striker kills servers while orders are submitted.
type striker struct {
	at     []int // the numbers of the orders before which it strikes
	strike func() (killedServers int, err error)
	fail   context.CancelCauseFunc

	running sync.WaitGroup
	killed  int // by strikes that have ended
}

// before strikes if a strike is due before an order. Strikes run beside the orders, one at a time.
func (s *striker) before(order int) {
	for len(s.at) > 0 && order >= s.at[0] {
		s.at = s.at[1:]

		s.running.Wait()

		s.running.Go(func() {
			killed, err := s.strike()
			s.killed += killed

			if err != nil {
				s.fail(err)
			}
		})
	}
}

// wait waits for the last strike, and returns the number of killed servers.
func (s *striker) wait() int {
	s.running.Wait()

	return s.killed
}

package main

import (
	"context"
	"sync"
	"sync/atomic"
)

// striker kills servers while orders are submitted.
type striker struct {
	at []int // the numbers of the orders before which it strikes
	// strike calls held when it needs no further order.
	strike func(held func()) (killedServers int, err error)
	fail   context.CancelCauseFunc

	running sync.WaitGroup
	waiting atomic.Bool // a strike needs an order
	killed  int         // by strikes that have ended
}

// before strikes if a strike is due before an order. Strikes run beside the orders, one at a time. While a strike needs an order, the
// orders go on, and the next strike comes later.
func (s *striker) before(order int) {
	if len(s.at) == 0 || order < s.at[0] || s.waiting.Load() {
		return
	}

	s.at = s.at[1:]

	s.running.Wait()
	s.waiting.Store(true)

	s.running.Go(func() {
		killed, err := s.strike(func() { s.waiting.Store(false) })
		s.killed += killed

		if err != nil {
			s.fail(err)
		}
	})
}

// wait waits for the last strike, and returns the number of killed servers.
func (s *striker) wait() int {
	s.running.Wait()

	return s.killed
}

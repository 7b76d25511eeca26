package main

import (
	"context"
	"sync"
	"time"
)

// pace is the longest time between two orders while a strike has waited in vain for some orders.
const pace = time.Second

// striker kills servers while orders are submitted.
type striker struct {
	at []int // the numbers of the orders before which it strikes
	// strike calls held when it needs no further order.
	strike func(held func()) (killedServers int, err error)
	fail   context.CancelCauseFunc
	// free is how many orders go on at once while a strike needs one. Each later order waits for pace. Otherwise the orders could run out
	// while the server of the strike stands still.
	free int

	running sync.WaitGroup
	needy   <-chan struct{} // of the last strike: closed when it needs no further order
	since   int             // the order before which the last strike began
	killed  int             // by strikes that have ended
}

// before strikes if a strike is due before an order. Strikes run beside the orders, one at a time. While a strike needs an order, the
// orders go on, and the next strike comes later.
func (s *striker) before(order int) {
	if s.waits(order) || len(s.at) == 0 || order < s.at[0] {
		return
	}

	s.at = s.at[1:]
	s.running.Wait()

	held := make(chan struct{})
	s.needy, s.since = held, order

	s.running.Go(func() {
		killed, err := s.strike(sync.OnceFunc(func() { close(held) }))
		s.killed += killed

		if err != nil {
			s.fail(err)
		}
	})
}

// waits reports whether the last strike needs an order.
func (s *striker) waits(order int) bool {
	if s.needy == nil {
		return false
	}

	var most time.Duration
	if order-s.since > s.free {
		most = pace
	}

	timer := time.NewTimer(most)
	defer timer.Stop()

	select {
	case <-s.needy:
	case <-timer.C:
	}

	select {
	case <-s.needy:
		return false
	default:
		return true
	}
}

// wait waits for the last strike, and returns the number of killed servers.
func (s *striker) wait() int {
	s.running.Wait()

	return s.killed
}

package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestOrdersGoOnWhileAStrikeNeedsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders := make(chan int, 3)
		s := &striker{at: []int{0, 1}, fail: func(err error) { t.Error(err) }}
		s.strike = func(held func()) (int, error) {
			for order := range orders {
				if order == 2 { // the order that the strike holds up
					break
				}
			}

			held()

			return 1, nil
		}

		for order := range 3 {
			s.before(order)
			orders <- order
		}

		if killed := s.wait(); killed != 1 {
			t.Errorf("%d servers were killed, want one", killed)
		}
	})
}

func TestAServerThatStandsStillGetsAnOrderBeforeThereAreNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 10

		orders := make(chan int, count)
		s := &striker{at: []int{0}, fail: func(err error) { t.Error(err) }, free: 3}
		s.strike = func(held func()) (int, error) {
			time.Sleep(5 * time.Second) // meanwhile another server takes the orders

			for len(orders) > 0 {
				<-orders
			}

			if _, ok := <-orders; !ok {
				return 0, nil
			}

			held()

			return 1, nil
		}

		for order := range count {
			s.before(order)

			orders <- order
		}

		close(orders)

		if killed := s.wait(); killed != 1 {
			t.Errorf("%d servers were killed, want one", killed)
		}
	})
}

package main

import (
	"testing"
	"testing/synctest"
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

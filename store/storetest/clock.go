package storetest

import "time"

// now returns the time on the store's clock, from an operation that changes nothing.
func (x *env) now() time.Time {
	x.Helper()

	return x.read().Now
}

// advance lets d pass on the store's clock.
func (x *env) advance(d time.Duration) {
	x.Helper()
	x.until(x.now().Add(d))
}

// pass waits until at has passed on the store's clock, and the rounding of times too.
func (x *env) pass(at time.Time) {
	x.Helper()
	x.until(at.Add(rounding))
}

// until waits until the store's clock shows at: exactly at inside a bubble, some time later outside.
func (x *env) until(at time.Time) {
	x.Helper()

	// A check waits for seconds on a real clock. A longer wait means a record with absurd times.
	limit := time.Minute
	if x.bubble {
		limit = 1000 * 24 * time.Hour
	}

	for begin := time.Now(); ; {
		left := at.Sub(x.now())
		if left <= 0 {
			return
		}

		if left > limit || time.Since(begin) > limit {
			x.Fatalf("%v: the store's clock has %v to go to the end of a short lease or retention", contents, left)
		}

		time.Sleep(left)
	}
}

// wait waits for a channel to be closed, and reports whether it was. It waits three times, because the machine may stand still during one
// of the waits.
func (x *env) wait(closed <-chan struct{}) bool {
	for range 3 {
		timer := time.NewTimer(max(5*time.Second, 20*x.unit))

		select {
		case <-closed:
			timer.Stop()

			return true
		case <-timer.C:
		}
	}

	return false
}

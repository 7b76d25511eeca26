package redisstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// idle is the index of a store that has no server.
func idle() *index {
	return newIndex(&Store{config: config{timeout: DefaultTimeout, unknown: DefaultUnknownRetention, delay: indexDelay}})
}

// stop ends the timer.
func (x *index) stop(t *testing.T) {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_ = x.close(ctx)
	time.Sleep(2 * DefaultTimeout) // the timer may have fired
}

// waits reports whether an entry waits to be written, and whether the timer is set.
func (x *index) waits() (waits, rings bool) {
	x.mu.Lock()
	defer x.mu.Unlock()

	return len(x.queue) > 0, !x.rings.IsZero()
}

// fail lets all entries that are due fail to be written.
func (x *index) fail() {
	var byIndex [indexes][]change

	var failed [indexes]error

	for _, c := range x.take(time.Now()) {
		i := numberOf(c.entry.member)
		byIndex[i], failed[i] = append(byIndex[i], c), errors.New("it fails")
	}

	x.settle(byIndex, failed)
}

func TestAnEntryThatCannotBeWrittenIsGivenUpAfterAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := idle()
		x.turn <- struct{}{} // nothing is written but by the test

		x.add(&entry{member: "a member"}, time.Now().UnixMilli(), time.Now())

		for range int(indexPatience/indexRetry) - 1 {
			x.fail()
			time.Sleep(indexRetry)
		}

		if waits, _ := x.waits(); !waits {
			t.Error("it is given up too early")
		}

		for range 3 {
			time.Sleep(indexRetry)
			x.fail()
		}

		if waits, _ := x.waits(); waits {
			t.Error("it is tried for ever")
		}

		x.stop(t)
	})
}

func TestEntriesAreWrittenAfterAWriteThatHasTakenTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := idle()
		x.turn <- struct{}{} // a write that lasts

		x.add(&entry{member: "a member"}, time.Now().UnixMilli(), time.Now())
		time.Sleep(2 * DefaultTimeout)

		if waits, rings := x.waits(); !waits || !rings {
			t.Errorf("an entry waits: %t; it is tried again: %t", waits, rings)
		}

		x.stop(t)
	})
}

func TestARenewalThatIsAnsweredLateDoesNotBringBackTheEntryOfARunThatIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := idle()
		x.turn <- struct{}{}

		e := &entry{member: "a member"}
		x.add(e, 1, time.Now())
		x.over(e, e.member, true)
		x.add(e, 2, time.Now())

		if due := x.take(time.Now()); len(due) > 0 {
			t.Errorf("%d entries are written", len(due))
		}

		x.stop(t)
	})
}

func TestAnEntryOnItsWayIsKnownToOwnersWithoutAReceipt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := idle()
		x.turn <- struct{}{}

		e := &entry{member: "a member"}
		x.add(e, 1, time.Now())

		due := x.take(time.Now())
		if len(due) != 1 {
			t.Fatalf("%d entries are due", len(due))
		}

		x.over(nil, e.member, true)

		var byIndex [indexes][]change

		n := numberOf(e.member)
		byIndex[n] = due
		x.settle(byIndex, [indexes]error{})
		time.Sleep(2 * indexDelay)

		if due := x.take(time.Now()); len(due) != 1 || !due[0].removes {
			t.Errorf("the entry of a run that is over stays: %+v", due)
		} else {
			byIndex[n] = due
			x.settle(byIndex, [indexes]error{})
		}

		if len(x.known) > 0 {
			t.Errorf("%d entries are known for ever", len(x.known))
		}

		x.stop(t)
	})
}

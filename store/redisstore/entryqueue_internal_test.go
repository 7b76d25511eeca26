package redisstore

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// idle is a queue of a store that has no server.
func idle() *entryQueue {
	s := &Store{config: config{timeout: DefaultTimeout, unknown: DefaultUnknownRetention, delay: indexDelay}}

	return newEntryQueue(s, "an index")
}

// stop ends the timer.
func (q *entryQueue) stop(t *testing.T) {
	t.Helper()

	q.close()
	time.Sleep(2 * DefaultTimeout) // the timer may have fired
}

// ringing reports whether the timer is set.
func (q *entryQueue) ringing() bool {
	q.mu.Lock()
	defer q.mu.Unlock()

	return !q.rings.IsZero()
}

// fail lets all entries that are due fail to be written.
func (q *entryQueue) fail() { q.settle(q.take(time.Now()), errors.New("it fails")) }

func TestAnEntryThatCannotBeWrittenIsGivenUpAfterAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := idle()
		q.writing <- struct{}{} // nothing is written but by the test

		q.add(&entry{member: "a member"}, time.Now().UnixMilli(), time.Now())

		for range int(indexPatience/indexRetry) - 1 {
			q.fail()
			time.Sleep(indexRetry)
		}

		if !q.waits() {
			t.Error("it is given up too early")
		}

		for range 3 {
			time.Sleep(indexRetry)
			q.fail()
		}

		if q.waits() {
			t.Error("it is tried for ever")
		}

		q.stop(t)
	})
}

func TestEntriesAreWrittenAfterAWriteThatHasTakenTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := idle()
		q.writing <- struct{}{} // a write that lasts

		q.add(&entry{member: "a member"}, time.Now().UnixMilli(), time.Now())
		time.Sleep(2 * DefaultTimeout)

		if !q.waits() || !q.ringing() {
			t.Errorf("an entry waits: %t; it is tried again: %t", q.waits(), q.ringing())
		}

		q.stop(t)
	})
}

func TestARenewalThatIsAnsweredLateDoesNotBringBackTheEntryOfARunThatIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := idle()
		q.writing <- struct{}{}

		e := &entry{member: "a member"}
		q.add(e, 1, time.Now())
		q.over(e, e.member, e.token, true)
		q.add(e, 2, time.Now())

		if due := q.take(time.Now()); len(due) > 0 {
			t.Errorf("%d entries are written", len(due))
		}

		q.stop(t)
	})
}

// Otherwise a list, or Close, could run before the entries of its own process arrive.
func TestAnEntryWaitsUntilTheServerHasIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := idle()
		q.writing <- struct{}{} // nothing is written but by the test

		q.add(&entry{member: "a member"}, 1, time.Now())
		due := q.take(time.Now())

		if !q.waits() {
			t.Error("an entry that is on its way does not wait")
		}

		q.settle(due, nil)

		if q.waits() {
			t.Error("an entry that the server has still waits")
		}

		q.stop(t)
	})
}

func TestAnEntryOnItsWayIsKnownToOwnersWithoutAReceipt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := idle()
		q.writing <- struct{}{}

		e := &entry{member: "a member"}
		q.add(e, 1, time.Now())

		due := q.take(time.Now())
		if len(due) != 1 {
			t.Fatalf("%d entries are due", len(due))
		}

		q.over(nil, e.member, e.token, true)

		q.settle(due, nil)
		time.Sleep(2 * indexDelay)

		if due := q.take(time.Now()); len(due) != 1 || !due[0].removes {
			t.Errorf("the entry of a run that is over stays: %+v", due)
		} else {
			q.settle(due, nil)
		}

		if len(q.known) > 0 {
			t.Errorf("%d entries are known for ever", len(q.known))
		}

		q.stop(t)
	})
}

// The run before it was released elsewhere, and its owner has no receipt.
func TestTheEndOfARunWithoutAReceiptLeavesTheEntryOfALaterRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := idle()
		q.writing <- struct{}{}

		later := &entry{member: "a member", token: store.Token{2}}
		q.add(later, 1, time.Now())
		q.over(nil, later.member, store.Token{1}, true)

		if due := q.take(time.Now()); len(due) != 1 || due[0].removes {
			t.Errorf("the entry of the later run is not written: %+v", due)
		}

		q.stop(t)
	})
}

func TestEntriesThatFindTheQueueFullAreReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := idle()

		var reported []store.Event

		q.store.report.Observer = store.ObserverFunc(func(_ context.Context, event store.Event) {
			q.waits() // the observer may use the store

			reported = append(reported, event)
		})

		later := time.Now().Add(time.Hour)

		for i := range maxEntries + 2 {
			q.add(&entry{member: strconv.Itoa(i)}, 1, later)
		}

		for range 2 {
			if err := q.flush(t.Context(), time.Now()); err != nil {
				t.Error(err)
			}
		}

		if len(reported) != 1 || reported[0].Kind != store.EventIndex || reported[0].Count != 2 || !errors.Is(reported[0].Err, errQueueFull) {
			t.Errorf("reported: %+v", reported)
		}

		q.stop(t)
	})
}

package lease

import (
	"math/rand/v2"
	"sync"
	"time"
)

const queues = 16

// Keeper wakes the leases of an engine when an action is due, with one timer for all of them. Most leases stop before their first action,
// so joining and leaving are cheap. A lease that wakes works on a goroutine of its own. The zero value is ready.
//
// A timer that fires for one lease also wakes leases whose action may be a little early. So the timer fires rarely, even for many long
// runs. A store can then send several renewals together.
type Keeper struct {
	queues [queues]queue

	mu    sync.Mutex
	timer *time.Timer
	rings time.Time // when the timer fires: never later than the first action that is due; zero: it does not fire
}

// queue has a part of the leases, in a heap: the first lease wakes next. A lease stays in the same queue.
type queue struct {
	mu     sync.Mutex
	leases []*Lease

	_ [32]byte // fills the cache line
}

// wake is the time at which a lease wakes. The lock of its queue guards it.
type wake struct {
	at    time.Time
	early time.Duration // how much earlier it may wake, together with others
	place int           // in the heap, counted from 1; 0: not in the heap
}

// anyQueue returns the number of a random queue.
func anyQueue() uint8 { return uint8(rand.UintN(queues)) } //nolint:gosec // only spreads the load

// set sets the time at which a lease wakes next.
func (k *Keeper) set(l *Lease, at time.Time, early time.Duration) {
	if k.queues[l.queue].set(l, at, early) {
		k.ringAt(at)
	}
}

// remove removes a lease: it does not wake any more.
func (k *Keeper) remove(l *Lease) { k.queues[l.queue].remove(l) }

// ringAt makes the timer fire at a time, unless it fires earlier.
func (k *Keeper) ringAt(at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if !k.rings.IsZero() && !at.Before(k.rings) {
		return
	}

	k.rings = at

	if k.timer == nil {
		k.timer = time.AfterFunc(time.Until(at), k.ring)
	} else {
		k.timer.Reset(time.Until(at))
	}
}

// ring wakes the leases that are due.
func (k *Keeper) ring() {
	k.mu.Lock()
	k.rings = time.Time{}
	k.mu.Unlock()

	now := time.Now()

	for i := range k.queues {
		if next := k.queues[i].wake(now); !next.IsZero() {
			k.ringAt(next)
		}
	}
}

// set sets the time at which a lease wakes. It reports whether the lease is now the next to wake.
func (q *queue) set(l *Lease, at time.Time, early time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()

	if l.wake.place == 0 {
		q.leases = append(q.leases, l)
		l.wake.place = len(q.leases)
	}

	l.wake.at, l.wake.early = at, early
	q.settle(l.wake.place)

	return l.wake.place == 1
}

func (q *queue) remove(l *Lease) {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.drop(l)
}

// wake wakes the leases that are due, and returns the time of the next lease.
func (q *queue) wake(now time.Time) (next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()

	for len(q.leases) > 0 {
		l := q.leases[0]
		if now.Before(l.wake.at.Add(-l.wake.early)) {
			return l.wake.at
		}

		q.drop(l)

		go l.fire()
	}

	return time.Time{}
}

// drop removes a lease from the heap, if it is there. The last lease takes its place.
func (q *queue) drop(l *Lease) {
	place, last := l.wake.place, len(q.leases)
	if place == 0 {
		return
	}

	q.swap(place, last)

	q.leases[last-1] = nil
	q.leases = q.leases[:last-1]
	l.wake.place = 0

	if place < last {
		q.settle(place)
	}
}

// settle moves the lease at a place to its place in the order of the heap.
func (q *queue) settle(place int) {
	for place > 1 && q.before(place, place/2) {
		q.swap(place, place/2)
		place /= 2
	}

	for {
		first := 2 * place
		if first > len(q.leases) {
			return
		}

		if first < len(q.leases) && q.before(first+1, first) {
			first++
		}

		if !q.before(first, place) {
			return
		}

		q.swap(first, place)
		place = first
	}
}

func (q *queue) before(a, b int) bool { return q.leases[a-1].wake.at.Before(q.leases[b-1].wake.at) }

func (q *queue) swap(a, b int) {
	q.leases[a-1], q.leases[b-1] = q.leases[b-1], q.leases[a-1]
	q.leases[a-1].wake.place, q.leases[b-1].wake.place = a, b
}

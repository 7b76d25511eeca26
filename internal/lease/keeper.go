package lease

import (
	"math/rand/v2"
	"sync"
	"time"
)

const queues = 16

// Keeper wakes the leases of an engine when they have something to do, with one timer for all of them. Most leases stop before that, so
// they join and leave at little cost. A lease that wakes works on a goroutine of its own. The zero value is ready.
//
// A timer that fires for one lease also wakes leases that may do their next thing a little early. So the timer fires a few times for
// many long runs, and a store that can do so takes their renewals together.
type Keeper struct {
	queues [queues]queue

	mu    sync.Mutex
	timer *time.Timer
	rings time.Time // when the timer fires: not after any lease is due; zero where nothing is to be done
}

// queue is a part of the leases: a heap, in which the next one to wake is the first. A lease stays in the same queue.
type queue struct {
	mu     sync.Mutex
	leases []*Lease

	_ [32]byte // to a cache line of its own
}

// wake is when a lease wakes. Its queue guards it.
type wake struct {
	at    time.Time
	early time.Duration // how much earlier it may wake together with others
	place int           // in the heap, counted from 1; 0 outside of it
}

// anyQueue returns the number of a queue.
func anyQueue() uint8 { return uint8(rand.UintN(queues)) } //nolint:gosec // it only spreads

// set sets when a lease wakes next.
func (k *Keeper) set(l *Lease, at time.Time, early time.Duration) {
	if k.queues[l.queue].set(l, at, early) {
		k.ringAt(at)
	}
}

// remove lets a lease sleep.
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

// set reports whether the lease is now the next to wake.
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

// wake wakes the leases that are due, and returns when the next one is.
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

// drop takes a lease out of the heap, if it is in it. The last lease takes its place.
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

// settle moves the lease at a place to where it belongs.
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

package consume

import "sync"

// place is a message in its queue. Two messages that a producer has sent with one key have two positions.
type place struct{ source, key, position string }

// history counts deliveries of the messages that had an idle one in this process: one that ran nothing, because the store was down, the
// message was being handled, or the consumer was stopping. The queue counts such deliveries, too, and they must not end a message.
//
// It is bounded. What it forgets is counted by the queue alone again.
type history struct {
	mu         sync.Mutex
	young, old map[place]int // the deliveries after the first idle one that were not idle
	most       int           // of each map
}

const mostPlaces = 10_000

func newHistory() *history {
	return &history{young: make(map[place]int), old: make(map[place]int), most: mostPlaces}
}

// counted returns which delivery this is, from 1, without those before the last of the idle ones. Given the count of the queue, it returns
// that if no delivery was idle, or if nobody counts.
func (h *history) counted(at place, deliveries int) int {
	h.mu.Lock()
	defer h.mu.Unlock()

	if others, ok := h.get(at); ok && deliveries > 0 {
		return min(others+1, deliveries)
	}

	return deliveries
}

// note notes how a delivery has ended.
func (h *history) note(at place, e *ending, d *Decision) {
	h.mu.Lock()
	defer h.mu.Unlock()

	others, ok := h.get(at)

	switch {
	case d.Action != Redeliver:
		delete(h.young, at)
		delete(h.old, at)
	case e.idle(d.Cause):
		h.set(at, others)
	case ok:
		h.set(at, others+1)
	}
}

func (h *history) get(at place) (others int, ok bool) {
	if others, ok = h.young[at]; !ok {
		others, ok = h.old[at]
	}

	return others, ok
}

func (h *history) set(at place, others int) {
	if _, ok := h.young[at]; !ok && len(h.young) >= h.most {
		h.old, h.young = h.young, make(map[place]int)
	}

	h.young[at] = others
}

// idle reports that a delivery has run nothing, for a reason that has nothing to do with its message.
func (e *ending) idle(cause Cause) bool {
	return !e.ran && (cause == CauseStore || cause == CauseInProgress || cause == CauseStopping)
}

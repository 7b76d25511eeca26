package consume

import "sync"

// place is a message in its queue. Two messages that a producer has sent with one key have two positions.
type place struct{ source, key, position string }

// history counts what this process knows about messages that are not done.
//
// The queue counts idle deliveries, too. An idle delivery ran nothing, because the store was down, the message was being handled, or the
// consumer was stopping. Idle deliveries must not end a message. So once there was an idle one, history counts the others.
//
// Some queues count nothing. For them, history counts the runs of the handler.
//
// A history is bounded. A message that it forgets is counted by the queue alone again.
type history struct {
	mu         sync.Mutex
	young, old map[place]count
	most       int // of each map
}

// count is what a process knows about a message.
type count struct {
	idle   bool // there was an idle delivery
	others int  // the deliveries that were not idle
	ran    int  // the deliveries that have run the handler
	ended  int  // the deliveries that have ended in this process
}

const mostPlaces = 10_000

func newHistory() *history {
	return &history{young: make(map[place]count), old: make(map[place]count), most: mostPlaces}
}

// counted returns which delivery this is, from 1, without the idle ones. It returns the count of the queue if no delivery was idle or if
// the queue does not count.
func (h *history) counted(at place, deliveries int) int {
	h.mu.Lock()
	defer h.mu.Unlock()

	if c := h.get(at); c.idle && deliveries > 0 {
		return min(c.others+1, deliveries)
	}

	return deliveries
}

// ran returns how many deliveries have run the handler in this process, this one included.
func (h *history) ran(at place, e *ending) int {
	h.mu.Lock()
	defer h.mu.Unlock()

	if e.ran {
		return h.get(at).ran + 1
	}

	return h.get(at).ran
}

// ended returns how many deliveries have ended in this process.
func (h *history) ended(at place) int {
	h.mu.Lock()
	defer h.mu.Unlock()

	return h.get(at).ended
}

// note notes how a delivery has ended.
func (h *history) note(at place, e *ending, d *Decision) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if d.Action != Redeliver {
		delete(h.young, at)
		delete(h.old, at)

		return
	}

	c := h.get(at)
	c.ended++

	if e.idle(d.Cause) {
		c.idle = true
	} else {
		c.others++
	}

	if e.ran {
		c.ran++
	}

	h.set(at, c)
}

func (h *history) get(at place) count {
	if c, ok := h.young[at]; ok {
		return c
	}

	return h.old[at]
}

func (h *history) set(at place, c count) {
	if _, ok := h.young[at]; !ok && len(h.young) >= h.most {
		h.old, h.young = h.young, make(map[place]count)
	}

	h.young[at] = c
}

// idle reports that a delivery has run nothing, for a reason that has nothing to do with its message.
func (e *ending) idle(cause Cause) bool {
	return !e.ran && (cause == CauseStore || cause == CauseInProgress || cause == CauseStopping)
}

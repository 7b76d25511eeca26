package redisstore

import (
	"slices"
	"sync"
	"time"
)

// lane is the way to one server. While a batch is under way, new requests wait in the queue. A goroutine sends one batch after the other
// and ends when no request waits. The function another decides when a second batch goes beside the first one.
type lane struct {
	wire *wire

	mu      sync.Mutex
	queue   []*request
	flights []*flight
	// slow means that the last round trip was slow.
	slow bool
	// afterLarge is how many small answers must still come before reads go together again, after a large answer. afterLate is how many of the
	// next reads go alone, after a batch of reads without an answer in time.
	afterLarge, afterLate int
	// alarm rings at the earliest deadline of a request, or when a batch has stalled. It is nil while no request waits.
	alarm   *time.Timer
	alarmAt time.Time
}

// way is how a request is sent.
type way uint8

const (
	byItself way = iota + 1 // outside of the lane
	first                   // on the empty lane, on the goroutine of the caller
	inBatch                 // with other requests
)

// wayOf decides how a request is sent.
func wayOf(r *request, empty, patient, readsApart bool) way {
	switch {
	case r.size >= large, r.reads && readsApart:
		return byItself
	case empty && !patient:
		return first
	default:
		return inBatch
	}
}

// enter accepts a request. The flight is not nil if the request is first.
func (l *lane) enter(r *request) (way, *flight) {
	now := time.Now()

	l.mu.Lock()
	defer l.mu.Unlock()

	how := wayOf(r, len(l.flights) == 0, l.wire.patient, l.afterLarge > 0 || l.afterLate > 0)

	switch how {
	case first:
		f := &flight{batch: []*request{r}, began: now}
		l.flights = append(l.flights, f)

		return how, f
	case inBatch:
		r.entered, r.ended = now, make(chan error, 1)
		l.queue = append(l.queue, r)
		l.start(now)
		l.watch(r.deadline)
	case byItself:
		if r.reads {
			l.afterLate = max(l.afterLate-1, 0)
		}
	}

	return how, nil
}

// goOn ends the flight of a first request. Requests that arrived meanwhile follow.
func (l *lane) goOn(f *flight) {
	if l.next(f) {
		go l.serve(f)
	}
}

// wait waits for the answer to a request that another goroutine sends.
func (l *lane) wait(r *request) error {
	select {
	case err := <-r.ended:
		l.wire.report.Waited(r.ctx, "", r.waited())

		return err
	case <-r.ctx.Done():
		l.leave(r)

		return r.ctx.Err() //nolint:wrapcheck // wrapped by the operation
	}
}

// leave removes a request from the queue, because its caller has gone. If the request is under way, its answer is dropped.
func (l *lane) leave(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.queue = slices.DeleteFunc(l.queue, func(other *request) bool { return other == r })
}

// serve sends batches as long as requests wait.
func (l *lane) serve(f *flight) {
	for {
		f.fly(l.wire)

		if !l.next(f) {
			return
		}
	}
}

// next ends a batch and begins the next one. It returns false if no request waits: the flight has ended.
func (l *lane) next(f *flight) bool {
	now := time.Now()
	slow, late, most := isSlow(now.Sub(f.began), len(f.batch)), f.isLate(now), 0

	for _, r := range f.batch {
		most = max(most, r.answerSize())
		r.end(nil)
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.slow = slow
	if late {
		l.afterLate = readsAfterLate
	}

	if most >= large {
		l.afterLarge = remaining(l.afterLarge, most)
	}

	if l.queue = f.board(l.queue, now); len(f.batch) > 0 {
		return true
	}

	l.flights = slices.DeleteFunc(l.flights, func(other *flight) bool { return other == f })
	if len(l.flights) == 0 {
		l.unwatch()
	}

	return false
}

// learn notes the size of the answer to a request that went alone.
func (l *lane) learn(size int) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.afterLarge = remaining(l.afterLarge, size)
}

// start starts another batch if the function another allows it. The caller holds the lock, also for the methods below.
func (l *lane) start(now time.Time) {
	if !another(len(l.flights), len(l.queue), l.slow, l.age(now)) {
		return
	}

	f := new(flight)
	if l.queue = f.board(l.queue, now); len(f.batch) > 0 {
		l.flights = append(l.flights, f)

		go l.serve(f)
	}
}

// age returns how long the youngest batch has been under way.
func (l *lane) age(now time.Time) time.Duration { return now.Sub(l.youngest()) }

// youngest returns when the last batch began.
func (l *lane) youngest() (began time.Time) {
	for _, f := range l.flights {
		if f.began.After(began) {
			began = f.began
		}
	}

	return began
}

// watch sets the alarm for a deadline, or for the time at which the batch before the queue has stalled.
func (l *lane) watch(at time.Time) {
	if stalls := l.youngest().Add(stalled); len(l.queue) > 0 && len(l.flights) < maxFlights && stalls.Before(at) {
		at = stalls
	}

	switch {
	case l.alarm == nil:
		l.alarm = time.AfterFunc(time.Until(at), l.ring)
	case at.Before(l.alarmAt):
		l.alarm.Reset(time.Until(at))
	default:
		return
	}

	l.alarmAt = at
}

func (l *lane) unwatch() {
	if l.alarm != nil {
		l.alarm.Stop()
		l.alarm = nil
	}
}

// ring ends the wait of late requests, and starts another batch if the last one has stalled.
func (l *lane) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()

	now := time.Now()

	l.queue = slices.DeleteFunc(l.queue, func(r *request) bool { return r.endIfLate(now) })
	l.start(now)
	l.unwatch()

	if earliest := l.earliest(now); !earliest.IsZero() {
		l.watch(earliest)
	}
}

// earliest returns the next deadline. It ends the wait of late requests that are under way.
func (l *lane) earliest(now time.Time) (at time.Time) {
	for _, requests := range l.all() {
		for _, r := range requests {
			if !r.endIfLate(now) && (at.IsZero() || r.deadline.Before(at)) {
				at = r.deadline
			}
		}
	}

	return at
}

// all returns the queue and the requests of every batch.
func (l *lane) all() [][]*request {
	all := append(make([][]*request, 0, 1+maxFlights), l.queue)
	for _, f := range l.flights {
		all = append(all, f.batch)
	}

	return all
}

// idle reports whether nothing is under way.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.flights) == 0
}

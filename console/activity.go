package console

import (
	"context"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// The picture covers the last 15 minutes, with one bar for 10 seconds.
const (
	barLength = 10 * time.Second
	barCount  = 90
	window    = barCount * barLength

	maxMethods = 200 // methods with their own count
)

// tally counts finished calls.
type tally struct {
	Executed, Replayed, Unknown, Other int
}

// Total is the number of calls.
func (t tally) Total() int { return t.Executed + t.Replayed + t.Unknown + t.Other }

func (t tally) plus(o tally) tally {
	return tally{t.Executed + o.Executed, t.Replayed + o.Replayed, t.Unknown + o.Unknown, t.Other + o.Other}
}

// tallyOf classifies a finished call.
func tallyOf(status onlyonce.Status) tally {
	switch status {
	case onlyonce.StatusExecuted:
		return tally{Executed: 1}
	case onlyonce.StatusReplayed:
		return tally{Replayed: 1}
	case onlyonce.StatusUnknown:
		return tally{Unknown: 1}
	case onlyonce.StatusReleased, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected, onlyonce.StatusRejected:
		return tally{Other: 1}
	default:
		return tally{Other: 1}
	}
}

// ring holds the counts of the last bars. The index of a bar is its number modulo the length.
type ring struct {
	last int64 // number of the newest bar
	bars [barCount]tally
}

// forward makes a bar the newest bar, and clears the bars in between.
func (r *ring) forward(bar int64) {
	for next := max(r.last+1, bar-barCount+1); next <= bar; next++ {
		r.bars[next%barCount] = tally{}
	}

	r.last = max(r.last, bar)
}

func (r *ring) count(bar int64, t tally) {
	r.forward(bar)
	r.bars[bar%barCount] = r.bars[bar%barCount].plus(t)
}

// ordered returns the bars up to a bar, oldest first.
func (r *ring) ordered(bar int64) []tally {
	r.forward(bar)

	bars := make([]tally, 0, barCount)
	for next := bar - barCount + 1; next <= bar; next++ {
		bars = append(bars, r.bars[(next%barCount+barCount)%barCount])
	}

	return bars
}

func (r *ring) sum(bar int64) (sum tally) {
	for _, t := range r.ordered(bar) {
		sum = sum.plus(t)
	}

	return sum
}

// Activity is an observer that counts the calls of the last 15 minutes, in total and by method, for the picture of a [Handler]. It counts
// the first 200 methods separately. The zero value is ready to use. It is safe for concurrent use.
type Activity struct {
	mu      sync.Mutex
	all     ring
	methods map[string]*ring
}

// Observe implements [onlyonce.Observer].
func (a *Activity) Observe(_ context.Context, event onlyonce.Event) {
	if event.Kind != onlyonce.EventCall {
		return
	}

	t, bar := tallyOf(event.Status), barOf(time.Now())

	a.mu.Lock()
	defer a.mu.Unlock()

	a.all.count(bar, t)

	method, ok := a.methods[event.Method]
	if !ok && len(a.methods) < maxMethods {
		if a.methods == nil {
			a.methods = map[string]*ring{}
		}

		method = new(ring)
		a.methods[event.Method] = method
	}

	if method != nil {
		method.count(bar, t)
	}
}

// read returns the bars of all calls, and the sums by method.
func (a *Activity) read(now time.Time) (bars []tally, methods map[string]tally) {
	bar := barOf(now)

	a.mu.Lock()
	defer a.mu.Unlock()

	methods = map[string]tally{}

	for name, r := range a.methods {
		if sum := r.sum(bar); sum.Total() > 0 {
			methods[name] = sum
		} else {
			delete(a.methods, name) // makes room for a new method
		}
	}

	return a.all.ordered(bar), methods
}

func barOf(at time.Time) int64 { return at.Unix() / int64(barLength/time.Second) }

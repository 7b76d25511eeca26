// Package backlog tries what a store has not acknowledged until it has.
//
// Tasks that wait for one part of a store do not hold up the tasks of another: each part has a lane of its own.
//
//	         up to 16 at a time                    up to 8 at a time, each with a backoff
//	Add ──► fresh ──► first try ──► failed ──► try again ──► … ──► Done
//	                      └────────────► Done      └── to the end of the lane
//
// A fresh task gets its first try at once, beside the tries of those that have failed. So a healthy task is not held up either
// where a store does not name its parts and all tasks share one lane.
//
// Goroutines live as long as there are tasks.
package backlog

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Task is something that has to be written. Tasks run in any order and at the same time, and may be written twice.
type Task struct {
	// Part names the part of the store that has to acknowledge the task. Tasks of an unknown part share the lane of "".
	Part string
	// Size is how many bytes the task keeps in memory.
	Size int
	// Write tries once, and bounds the try by a timeout. Its context is cancelled by Stop.
	Write func(ctx context.Context) error
	// Done is called once, when the task was written or has failed with a final error. It is not called for a task that is lost.
	// It may be nil.
	Done func(err error)
}

// Limits bound a backlog.
type Limits struct {
	// Tasks is the number of tasks from which on it is full; 0 means no bound.
	Tasks int
	// Bytes is the sum of their sizes from which on it is full; 0 means no bound.
	Bytes int64
	// Final reports errors after which a task is not tried again. It may be nil.
	Final func(err error) bool
}

// Backlog holds tasks until they are written. The zero value has no bounds. Call Init before anything else to set some.
type Backlog struct {
	limits Limits
	count  atomic.Int64
	bytes  atomic.Int64

	mu    sync.Mutex
	lanes map[string]*lane
	// stopped means that nothing is tried any more.
	stopped bool
	// workers counts the goroutines. While there are any, idle is closed when the last one ends, and cancel ends them early.
	workers int
	idle    chan struct{}
	ctx     context.Context //nolint:containedctx // that of the workers
	cancel  context.CancelFunc
}

// Init sets the bounds.
func (b *Backlog) Init(limits Limits) { b.limits = limits }

// Add takes in a task and tries it at once. A full backlog takes it in, too: callers check [Backlog.Full] before they begin what may
// have to be written later. A stopped backlog drops it.
func (b *Backlog) Add(t Task) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.stopped {
		return
	}

	b.count.Add(1)
	b.bytes.Add(int64(t.Size))
	b.lane(t.Part).add(t)
}

// Full reports whether a bound is reached. It is cheap.
func (b *Backlog) Full() bool {
	return b.limits.Tasks > 0 && b.count.Load() >= int64(b.limits.Tasks) ||
		b.limits.Bytes > 0 && b.bytes.Load() >= b.limits.Bytes
}

// Len is how many tasks are not done.
func (b *Backlog) Len() int { return int(b.count.Load()) }

// Bytes is the sum of their sizes.
func (b *Backlog) Bytes() int64 { return b.bytes.Load() }

// Drain waits until all tasks are done. When ctx ends first, it stops the backlog, and returns how many tasks are lost.
func (b *Backlog) Drain(ctx context.Context) int {
	idle := b.working()
	if idle == nil {
		return 0
	}

	select {
	case <-idle:
		return 0
	case <-ctx.Done():
		return b.Stop()
	}
}

// stopGrace is how long Stop waits for tries that do not end with their context.
const stopGrace = 5 * time.Second

// Stop ends the tries under way and waits for them, 5 seconds at most. It returns how many tasks are lost. Tasks added later are
// dropped. It may be called again; a lost task counts once.
func (b *Backlog) Stop() int {
	b.mu.Lock()
	b.stopped = true

	if b.cancel != nil {
		b.cancel()
	}

	b.mu.Unlock()

	if idle := b.working(); idle != nil {
		select {
		case <-idle:
		case <-time.After(stopGrace):
		}
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	lost := 0

	for part, l := range b.lanes {
		for _, t := range append(l.fresh, l.failed...) {
			b.forget(&t)

			lost++
		}

		delete(b.lanes, part)
	}

	return lost
}

// working returns what is closed when the last worker has ended, or nil where there is none.
func (b *Backlog) working() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.idle
}

// forget counts a task out.
func (b *Backlog) forget(t *Task) {
	b.count.Add(-1)
	b.bytes.Add(-int64(t.Size))
}

// done reports whether a task needs no other try, and counts it out then.
func (b *Backlog) done(t *Task, err error) bool {
	if err != nil && (b.limits.Final == nil || !b.limits.Final(err)) {
		return false
	}

	b.forget(t)

	if t.Done != nil {
		t.Done(err)
	}

	return true
}

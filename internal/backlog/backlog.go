// Package backlog repeats writes that a store has not acknowledged until it has.
//
// Each part of a store has a lane, so tasks that wait for one part do not delay the tasks of another:
//
//	         up to 16 at a time                    up to 8 at a time, each with a backoff
//	Add ──► fresh ──► first try ──► failed ──► try again ──► … ──► Done
//	                      └────────────► Done      └── to the end of the lane
//
// A fresh task is tried at once, next to the tasks that have failed. So a healthy task is not delayed, even if a store does not name its
// parts and all tasks share one lane.
//
// Goroutines run only while there are tasks.
package backlog

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Task is a write. Tasks run in any order and concurrently, and may be written twice.
type Task struct {
	// Part names the part of the store that must acknowledge the task. Tasks of an unknown part share the lane of "".
	Part string
	// Size is how many bytes the task keeps in memory.
	Size int
	// Write tries once. It must have a timeout. Stop cancels its context.
	Write func(ctx context.Context) error
	// Done is called once, when the task was written or has failed with a final error. It is not called for a lost task. It may be nil.
	Done func(err error)
}

// Limits bound a backlog.
type Limits struct {
	// Tasks is the number of tasks at which the backlog is full. 0 means no bound.
	Tasks int
	// Bytes is the sum of their sizes at which the backlog is full. 0 means no bound.
	Bytes int64
	// Final reports errors after which a task is not tried again. It may be nil.
	Final func(err error) bool
}

// Backlog has tasks until they are written. The zero value has no bounds. To set bounds, call Init before all other methods.
type Backlog struct {
	limits Limits
	count  atomic.Int64
	bytes  atomic.Int64

	mu    sync.Mutex
	lanes map[string]*lane
	// stopped means that no task is tried any more.
	stopped bool
	// workers counts the goroutines. idle is closed when the last one ends. cancel ends them early.
	workers int
	idle    chan struct{}
	ctx     context.Context //nolint:containedctx // the context of the workers
	cancel  context.CancelFunc
}

// Init sets the bounds.
func (b *Backlog) Init(limits Limits) { b.limits = limits }

// Add adds a task and tries it at once. It also adds to a full backlog: callers check [Backlog.Full] before they begin work that may have
// to be written later. A stopped backlog drops the task.
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

// Len returns the number of tasks that are not done.
func (b *Backlog) Len() int { return int(b.count.Load()) }

// Bytes returns the sum of their sizes.
func (b *Backlog) Bytes() int64 { return b.bytes.Load() }

// Drain waits until all tasks are done, and returns 0. If ctx ends first, it stops the backlog and returns the number of lost tasks.
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

// Stop ends the current tries and waits for them, at most 5 seconds. It returns the number of lost tasks. Tasks that are added later are
// dropped. It may be called again; a lost task is counted once.
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

// working returns the channel that is closed when the last worker has ended, or nil if there is no worker.
func (b *Backlog) working() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.idle
}

// forget removes a task from the counts.
func (b *Backlog) forget(t *Task) {
	b.count.Add(-1)
	b.bytes.Add(-int64(t.Size))
}

// done reports whether a task is finished after a try. A finished task leaves the counts.
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

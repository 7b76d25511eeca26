package onlyonce

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	pendingFirst = 50 * time.Millisecond
	pendingMost  = 5 * time.Second
)

// pending holds what the store has not acknowledged: releases of claims that were given up, and ends of runs. They are
// tried until they are acknowledged or the engine is drained, by one goroutine that lives as long as there are any. All of
// them are fenced, so that it does not matter how late they arrive.
type pending struct {
	engine *Engine
	count  atomic.Int64

	mu    sync.Mutex
	tasks []task
	// closed means that nothing is tried any more.
	closed bool
	// stopped is closed when the goroutine has ended; nil while there is none. cancel ends it early.
	stopped chan struct{}
	cancel  context.CancelFunc
}

type task struct {
	method, key string
	write       func(context.Context) error
}

func (p *pending) init(e *Engine) { p.engine = e }

func (p *pending) full() bool { return p.count.Load() >= int64(p.engine.limits.MaxPending) }

func (p *pending) add(method, key string, write func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.closed {
		return // a drain has run out of time; the observer has seen that the store did not take it
	}

	p.tasks = append(p.tasks, task{method: method, key: key, write: write})
	p.count.Add(1)

	if p.stopped == nil {
		ctx, cancel := context.WithCancel(context.Background()) // ends with drain or stop, or when all is acknowledged
		p.stopped, p.cancel = make(chan struct{}), cancel

		go p.work(ctx)
	}
}

func (p *pending) work(ctx context.Context) {
	failures := 0

	for {
		next, ok := p.next(ctx)
		if !ok {
			return
		}

		bounded, done := p.engine.storeContext(ctx)
		err := next.write(bounded)

		done()

		if err == nil || errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer) {
			failures = 0

			p.count.Add(-1)
			p.engine.observe(ctx, Event{Kind: EventPendingSettled, Method: next.method, Key: next.key, Err: err})

			continue
		}

		p.putBack(next)

		failures++
		sleep(ctx, backoff(failures, pendingFirst, pendingMost))
	}
}

// next takes the first task, or ends the goroutine.
func (p *pending) next(ctx context.Context) (task, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if len(p.tasks) == 0 || ctx.Err() != nil {
		p.cancel()
		close(p.stopped)
		p.stopped, p.cancel = nil, nil

		return task{}, false
	}

	first := p.tasks[0]
	p.tasks[0] = task{}
	p.tasks = p.tasks[1:]

	return first, true
}

// putBack appends a task, so that one which can never be written does not hold up the others.
func (p *pending) putBack(t task) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.tasks = append(p.tasks, t)
}

// drain waits until all tasks are acknowledged. When ctx ends first it gives them up and returns how many there were.
func (p *pending) drain(ctx context.Context) int {
	p.mu.Lock()
	stopped := p.stopped
	p.mu.Unlock()

	if stopped == nil {
		return 0
	}

	select {
	case <-stopped:
		return 0
	case <-ctx.Done():
		return p.stop()
	}
}

// stop gives up what is pending and returns how much it was.
func (p *pending) stop() int {
	p.mu.Lock()
	p.closed = true
	stopped, cancel := p.stopped, p.cancel
	p.mu.Unlock()

	if stopped == nil {
		return 0
	}

	cancel()
	<-stopped

	p.mu.Lock()
	defer p.mu.Unlock()

	lost := len(p.tasks)
	p.tasks = nil
	p.count.Add(int64(-lost))

	return lost
}

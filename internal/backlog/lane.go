package backlog

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// maxFirsts is how many fresh tasks of a lane are tried at a time, and maxRetries how many failed tasks. They are counted separately,
	// so that tasks that hang repeatedly do not delay fresh ones.
	maxFirsts  = 16
	maxRetries = 8

	// delayFirst is the delay after a failure. Each further failure in a row doubles it, up to delayMost.
	delayFirst = 50 * time.Millisecond
	delayMost  = 5 * time.Second
)

// lane has the tasks of one part. The lock of its backlog guards its fields.
type lane struct {
	backlog *Backlog
	part    string
	// fresh has tasks that were not tried yet, because all workers were busy. They are taken from both ends in turn. So tasks that hang
	// delay neither the newest task nor, while more tasks are added, the oldest.
	fresh  []Task
	newest bool
	// failed has tasks that were tried, the least recently tried first.
	failed []Task
	// firsts and retries count the workers for fresh and failed tasks.
	firsts, retries int
}

// lane returns the lane of a part. The caller holds the lock.
func (b *Backlog) lane(part string) *lane {
	l := b.lanes[part]
	if l == nil {
		if b.lanes == nil {
			b.lanes = make(map[string]*lane)
		}

		l = &lane{backlog: b, part: part}
		b.lanes[part] = l
	}

	return l
}

// add tries a fresh task at once, unless all workers are busy. The caller holds the lock.
func (l *lane) add(t Task) {
	l.fresh = append(l.fresh, t)

	if l.firsts < maxFirsts {
		l.firsts++
		l.start(l.tryFresh)
	}
}

// start starts a worker. The caller holds the lock.
func (l *lane) start(work func(context.Context)) {
	b := l.backlog

	if b.workers == 0 {
		b.idle = make(chan struct{})
		b.ctx, b.cancel = context.WithCancel(context.Background()) // ends with Stop, or with the last worker
	}

	b.workers++

	go work(b.ctx)
}

// end removes a worker from the counts. The caller holds the lock.
func (l *lane) end(workers *int) {
	*workers--

	b := l.backlog

	if l.firsts+l.retries+len(l.fresh)+len(l.failed) == 0 {
		delete(b.lanes, l.part)
	}

	b.workers--

	if b.workers == 0 {
		b.cancel()
		close(b.idle)
		b.idle, b.ctx, b.cancel = nil, nil, nil
	}
}

// tryFresh tries fresh tasks for the first time until there are none.
func (l *lane) tryFresh(ctx context.Context) {
	done := false
	defer l.replace(ctx, l.tryFresh, &done)

	for {
		t, ok := l.nextFresh()
		if !ok {
			done = true

			return
		}

		if err := t.Write(ctx); !l.backlog.done(&t, err) {
			l.putBack(t)
			l.startRetry()
		}
	}
}

// retry tries failed tasks until there are none. It begins with a delay.
func (l *lane) retry(ctx context.Context) {
	done := false
	defer l.replace(ctx, l.retry, &done)

	for failures := 1; ; {
		if failures > 0 {
			sleep(ctx, delay(failures))
		}

		t, ok := l.nextFailed()
		if !ok {
			done = true

			return
		}

		if err := t.Write(ctx); l.backlog.done(&t, err) {
			failures = 0
		} else {
			failures++

			l.putBack(t)
		}
	}
}

// replace starts another worker if a function of a task has ended the goroutine of a worker, as testing.T.FailNow does.
func (l *lane) replace(ctx context.Context, work func(context.Context), done *bool) {
	if !*done {
		go work(ctx)
	}
}

// nextFresh removes and returns a fresh task. If there is none, the worker ends.
func (l *lane) nextFresh() (Task, bool) {
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()

	if len(l.fresh) == 0 || l.backlog.stopped {
		l.end(&l.firsts)

		return Task{}, false
	}

	at := 0
	if l.newest {
		at = len(l.fresh) - 1
	}

	t := l.fresh[at]
	l.fresh[at] = Task{} // for the garbage collector

	if l.newest {
		l.fresh = l.fresh[:at]
	} else {
		l.fresh = l.fresh[1:]
	}

	l.newest = !l.newest

	return t, true
}

// nextFailed removes and returns the least recently tried task. If there is none, the worker ends.
func (l *lane) nextFailed() (Task, bool) {
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()

	if len(l.failed) == 0 || l.backlog.stopped {
		l.end(&l.retries)

		return Task{}, false
	}

	t := l.failed[0]
	l.failed[0] = Task{} // for the garbage collector
	l.failed = l.failed[1:]

	return t, true
}

// putBack appends a failed task to its lane, so that a task that can never be written does not delay the others.
func (l *lane) putBack(t Task) {
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()

	l.failed = append(l.failed, t)
}

// startRetry starts a worker for a task that has failed for the first time, if there is room. The workers of tasks that fail repeatedly
// have long delays.
func (l *lane) startRetry() {
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()

	if l.retries < maxRetries {
		l.retries++
		l.start(l.retry)
	}
}

// sleep waits for a time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// delay returns the delay after a number of failures in a row. It is random in the upper half of its bound.
func delay(failures int) time.Duration {
	const doublings = 16

	d := min(delayFirst<<min(failures-1, doublings), delayMost)

	return d/2 + rand.N(d/2+1) //nolint:gosec // not a secret
}

package backlog

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// maxFirsts is how many fresh tasks of a lane are tried at a time, maxRetries how many that have failed. They are counted apart,
	// so that tasks that hang again and again take no room from fresh ones.
	maxFirsts  = 16
	maxRetries = 8

	// delayFirst is the delay after a failure. It is doubled up to delayMost after each failure in a row.
	delayFirst = 50 * time.Millisecond
	delayMost  = 5 * time.Second
)

// lane holds the tasks of one part. Its fields are guarded by the lock of its backlog.
type lane struct {
	backlog *Backlog
	part    string
	// fresh have not been tried yet, because there was no room. They are taken from both ends in turn: a burst of tasks that hang
	// holds up neither the next one nor, as long as more come, the first.
	fresh  []Task
	newest bool
	// failed have been tried, the one whose try is the longest ago first.
	failed []Task
	// firsts and retries count the goroutines that try fresh and failed tasks.
	firsts, retries int
}

// lane returns the lane of a part. It is called with the lock held.
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

// add tries a fresh task at once, unless many are being tried. It is called with the lock held.
func (l *lane) add(t Task) {
	l.fresh = append(l.fresh, t)

	if l.firsts < maxFirsts {
		l.firsts++
		l.start(l.tryFresh)
	}
}

// start starts a worker. It is called with the lock held.
func (l *lane) start(work func(context.Context)) {
	b := l.backlog

	if b.workers == 0 {
		b.idle = make(chan struct{})
		b.ctx, b.cancel = context.WithCancel(context.Background()) // ends with Stop, or with the last worker
	}

	b.workers++

	go work(b.ctx)
}

// end counts a worker out. It is called with the lock held.
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

// tryFresh gives fresh tasks their first try, as long as there are any.
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

// retry tries failed tasks, as long as there are any. It begins after a failure.
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

// replace starts a worker in the place of one that has not come to its end: a function of a task has ended its goroutine, as
// testing.T.FailNow does.
func (l *lane) replace(ctx context.Context, work func(context.Context), done *bool) {
	if !*done {
		go work(ctx)
	}
}

// nextFresh takes a fresh task, or counts the worker out.
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
	l.fresh[at] = Task{} // so that it can be collected

	if l.newest {
		l.fresh = l.fresh[:at]
	} else {
		l.fresh = l.fresh[1:]
	}

	l.newest = !l.newest

	return t, true
}

// nextFailed takes the failed task whose try is the longest ago, or counts the worker out.
func (l *lane) nextFailed() (Task, bool) {
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()

	if len(l.failed) == 0 || l.backlog.stopped {
		l.end(&l.retries)

		return Task{}, false
	}

	t := l.failed[0]
	l.failed[0] = Task{} // so that it can be collected
	l.failed = l.failed[1:]

	return t, true
}

// putBack appends a task that has failed to its lane, so that one that can never be written does not hold up the others.
func (l *lane) putBack(t Task) {
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()

	l.failed = append(l.failed, t)
}

// startRetry sees to it that a task which has failed for the first time is tried again soon: those that fail again and again have
// workers with long delays.
func (l *lane) startRetry() {
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()

	if l.retries < maxRetries {
		l.retries++
		l.start(l.retry)
	}
}

// sleep waits, until ctx ends at the latest.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// delay is the delay after so many failures in a row, spread over its upper half.
func delay(failures int) time.Duration {
	const doublings = 16

	d := min(delayFirst<<min(failures-1, doublings), delayMost)

	return d/2 + rand.N(d/2+1) //nolint:gosec // not a secret
}

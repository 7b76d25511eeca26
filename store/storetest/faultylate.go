package storetest

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// arrival is a copy of an operation that arrives after its caller has stopped waiting.
type arrival struct {
	at     time.Time
	run    func()
	cancel context.CancelFunc
	timer  *time.Timer
	done   chan struct{} // closed once the store has decided, or never will
}

// later lets copies of an operation arrive, each after a delay. The answers are lost.
func (f *Faulty) later(ctx context.Context, arrive deliver, delays []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.closed {
		return
	}

	for _, delay := range delays {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		a := &arrival{
			at:     time.Now().Add(delay),
			run:    func() { _, _ = arrive(ctx) },
			cancel: cancel,
			done:   make(chan struct{}),
		}
		f.late[a] = struct{}{}
		a.timer = time.AfterFunc(delay, func() { f.arrive(a) })
	}
}

// arrive passes a late operation to the store.
func (f *Faulty) arrive(a *arrival) {
	f.mu.Lock()

	_, due := f.late[a]
	if due {
		delete(f.late, a)
		f.arrived[a] = struct{}{}
	}
	f.mu.Unlock()

	if !due {
		return
	}

	defer func() {
		a.cancel()

		f.mu.Lock()
		delete(f.arrived, a)
		f.mu.Unlock()

		close(a.done)
	}()

	a.run()
}

// Flush lets all late operations arrive now, in the order of their times. It returns once the store has decided all of them.
func (f *Faulty) Flush() {
	f.mu.Lock()

	due, deciding := keys(f.late), keys(f.arrived)
	f.mu.Unlock()

	slices.SortFunc(due, func(a, b *arrival) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })

	for _, a := range due {
		a.timer.Stop()
		f.arrive(a)
	}

	for _, a := range append(due, deciding...) {
		<-a.done
	}
}

// Close cuts the line for good: late and new operations never arrive. It returns when the store is deciding no late operation. Close may be
// called again.
func (f *Faulty) Close() {
	f.mu.Lock()

	f.closed = true

	for a := range f.late {
		a.timer.Stop()
		a.cancel()
		close(a.done)
	}

	clear(f.late)

	deciding := keys(f.arrived)
	f.mu.Unlock()

	for _, a := range deciding {
		a.cancel()
		<-a.done
	}
}

func keys(set map[*arrival]struct{}) []*arrival {
	all := make([]*arrival, 0, len(set))
	for a := range set {
		all = append(all, a)
	}

	return all
}

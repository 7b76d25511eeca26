package redisstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// entryQueue holds the entries that this process has to write to one set of the index.
type entryQueue struct {
	store *Store
	name  string // of the set
	// writing is held by the one writer, so that an older score does not overtake a newer one.
	writing chan struct{}

	mu      sync.Mutex
	entries []*entry
	// known has the latest entry of each record while that waits in the queue, or is on its way to the server.
	known  map[string]*entry
	timer  *time.Timer
	rings  time.Time // when the timer fires; zero if it does not
	cleans time.Time // when it is time to clean the set
	closed bool
	// dropped is how many entries have found the queue full since the last report.
	dropped int
}

var errQueueFull = errors.New("too many entries wait to be written, so that some were dropped: Run or Sweep finds their records")

func newEntryQueue(s *Store, name string) *entryQueue {
	return &entryQueue{
		store: s, name: name, writing: make(chan struct{}, 1), known: make(map[string]*entry), cleans: time.Now().Add(s.cleanFirst),
	}
}

// add has an entry written at a time, unless its run is over by then. The answer to a renewal may come after the end of the run.
func (q *entryQueue) add(e *entry, until int64, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()

	if e.over {
		return
	}

	e.until, e.due, e.since = max(e.until, until), due, due
	q.enqueue(e)
}

// over has the entry of a run that is over removed, if it has been written. The entry is nil where the owner has no receipt: it is then
// known that the run is over only if its end was applied. A later run of the record may have an entry by now, which stays.
func (q *entryQueue) over(e *entry, member string, token store.Token, isApplied bool) {
	q.mu.Lock()
	defer q.mu.Unlock()

	switch {
	case e == nil && !isApplied:
		return
	case e == nil:
		e = q.waiting(member, token)
	}

	e.over = true

	if e.written != 0 {
		e.due = time.Now().Add(q.store.delay)
		e.since = e.due
		q.enqueue(e)
	}
}

// hold writes the entry of a run whose outcome is unknown from now on. The operation has taken effect, so a failure is not its failure.
func (q *entryQueue) hold(ctx context.Context, w *work, e *entry, member string, token store.Token, at int64) {
	q.mu.Lock()

	if e == nil {
		e = q.waiting(member, token)
	}

	e.until, e.over = at, false
	q.mu.Unlock()

	err := q.apart(ctx, w, onIndex(ctx, &q.store.scripts.enter, q.name, at, member))

	q.mu.Lock()
	defer q.mu.Unlock()

	if err == nil {
		e.written = at

		return
	}

	e.since = time.Now()
	e.due = e.since.Add(indexRetry)
	q.enqueue(e)
}

// forget removes the entry of a record that is gone, unless it is another run's by now. The score is that of the record.
func (q *entryQueue) forget(ctx context.Context, w *work, member string, score int64) {
	q.mu.Lock()

	if e := q.known[member]; e != nil && e.until <= score {
		e.over = true
	}

	q.mu.Unlock()

	_ = q.apart(ctx, w, onIndex(ctx, &q.store.scripts.leave, q.name, member, score)) // a list removes what is left
}

// scoreOf is the score of a record that the set has, and 0 if there is none or it cannot be read.
func (q *entryQueue) scoreOf(ctx context.Context, w *work, member string) int64 {
	cmd := redis.NewFloatCmd(ctx, "ZSCORE", q.name, member)
	at := work{name: q.name, deadline: w.deadline}

	if err := q.store.exchange(ctx, &at, entrySize, false, cmd); err != nil || cmd.Err() != nil {
		return 0 // a list removes what is left
	}

	return int64(cmd.Val())
}

// apart sends a command by itself, within the time of an operation that has taken effect.
func (q *entryQueue) apart(ctx context.Context, w *work, cmd redis.Cmder) error {
	ctx, cancel := context.WithDeadline(ctx, w.deadline)
	defer cancel()

	if err := q.begin(ctx); err != nil {
		return err
	}
	defer q.end()

	return q.send(ctx, 1, cmd)
}

// begin waits until no other write is under way, and end lets the next one begin.
func (q *entryQueue) begin(ctx context.Context) error {
	select {
	case q.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // wrapped by the caller
	}
}

func (q *entryQueue) end() { <-q.writing }

// send sends commands on the set, and reports to the observer how the write of some entries has ended.
func (q *entryQueue) send(ctx context.Context, entries int, cmds ...redis.Cmder) (err error) {
	defer q.store.report.Indexed(ctx, q.store.report.Clock(), entries, &err)

	w := work{name: q.name, deadline: time.Now().Add(q.store.timeout)}

	if err = q.store.exchange(ctx, &w, entries*entrySize, false, cmds...); err != nil {
		return indexFailure("writing to", q.name, err)
	}

	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return indexFailure("writing to", q.name, err)
		}
	}

	return nil
}

// ring writes what is due, and removes what is left of others from time to time. The next time is a moment later, so that many entries go
// together.
func (q *entryQueue) ring() {
	ctx, cancel := context.WithTimeout(context.Background(), q.store.timeout)
	defer cancel()

	q.mu.Lock()
	q.rings = time.Time{}
	q.mu.Unlock()

	if q.flush(ctx, time.Now()) == nil && q.mayClean(time.Now()) {
		q.store.clean(ctx, q.name)
	}
}

// mayClean reports whether it is time to clean the set.
func (q *entryQueue) mayClean(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()

	if q.closed || now.Before(q.cleans) {
		return false
	}

	q.cleans = now.Add(cleanEvery)

	return true
}

// flush writes the entries that are due at a time. Those that cannot be written are tried again.
func (q *entryQueue) flush(ctx context.Context, now time.Time) error {
	if err := q.begin(ctx); err != nil {
		q.ringAgain()

		return indexFailure("writing to", q.name, err)
	}
	defer q.end()

	for {
		q.reportDropped(ctx)

		due := q.take(now)
		if len(due) == 0 {
			return nil
		}

		if err := q.write(ctx, due); err != nil {
			return err // the rest waits with them
		}
	}
}

// reportDropped reports entries that were dropped. It is called without the lock, since it calls an observer.
func (q *entryQueue) reportDropped(ctx context.Context) {
	q.mu.Lock()
	dropped := q.dropped
	q.dropped = 0
	q.mu.Unlock()

	if dropped > 0 {
		err := indexFailure("writing to", q.name, errQueueFull)
		q.store.report.Indexed(ctx, q.store.report.Clock(), dropped, &err)
	}
}

// close ends the timer. What is added later is not written.
func (q *entryQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.closed = true

	if q.timer != nil {
		q.timer.Stop()
	}
}

// waits reports whether entries wait or are on their way to the server.
func (q *entryQueue) waits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()

	return len(q.entries) > 0 || len(q.known) > 0
}

// ringAgain lets the timer fire again, because another write has lasted too long.
func (q *entryQueue) ringAgain() {
	q.mu.Lock()
	defer q.mu.Unlock()

	if len(q.entries) > 0 {
		q.ringAt(time.Now().Add(indexRetry))
	}
}

// change is an entry on its way to the server.
type change struct {
	entry      *entry
	score, was int64
	removes    bool
}

// entrySize is how many bytes an entry has on its way, about.
const entrySize = 64

// take takes entries out of the queue whose time has come.
func (q *entryQueue) take(now time.Time) (due []change) {
	q.mu.Lock()
	defer q.mu.Unlock()

	kept := q.entries[:0]

	var next time.Time

	for _, e := range q.entries {
		switch {
		case e.over && e.written == 0, !e.over && e.written == e.until:
			e.queued = false // there is nothing to do
			q.drop(e)
		case len(due) == maxTogether || e.due.After(now):
			if kept = append(kept, e); next.IsZero() || e.due.Before(next) {
				next = e.due
			}
		default:
			e.queued = false
			due = append(due, change{entry: e, score: e.until, was: e.written, removes: e.over})
		}
	}

	clear(q.entries[len(kept):])
	q.entries = kept

	if len(kept) > 0 {
		q.ringAt(later(next, time.Now().Add(q.store.delay/4)))
	}

	return due
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}

	return b
}

// write writes changes.
func (q *entryQueue) write(ctx context.Context, due []change) error {
	var added, removed []any

	for _, c := range due {
		if c.removes {
			removed = append(removed, c.entry.member, c.was)
		} else {
			added = append(added, c.score, c.entry.member)
		}
	}

	var cmds []redis.Cmder

	if len(added) > 0 {
		cmds = append(cmds, onIndex(ctx, &q.store.scripts.enter, q.name, append([]any{"GT"}, added...)...))
	}

	if len(removed) > 0 {
		cmds = append(cmds, onIndex(ctx, &q.store.scripts.leave, q.name, removed...))
	}

	err := q.send(ctx, len(due), cmds...)
	q.settle(due, err)

	return err
}

// settle notes which changes have been made, and has the others tried again.
func (q *entryQueue) settle(changes []change, failed error) {
	q.mu.Lock()
	defer q.mu.Unlock()

	now := time.Now()

	for _, c := range changes {
		e := c.entry

		switch {
		case failed != nil:
			if now.Sub(e.since) < indexPatience && !errors.Is(failed, redis.ErrClosed) {
				e.due = now.Add(indexRetry)
				q.enqueue(e)
			}
		case c.removes:
			e.written = 0
		default:
			e.written = c.score

			if e.over { // meanwhile
				q.enqueue(e)
			}
		}

		if !e.queued {
			q.drop(e)
		}
	}
}

// waiting is the entry of a run that waits to be written or is on its way, or a new one, for owners without a receipt. It is called with
// the lock, as are the methods below.
func (q *entryQueue) waiting(member string, token store.Token) *entry {
	if e := q.known[member]; e != nil && e.token == token {
		return e
	}

	return &entry{member: member, token: token}
}

// drop ends the knowledge of an entry that neither waits nor is on its way.
func (q *entryQueue) drop(e *entry) {
	if q.known[e.member] == e {
		delete(q.known, e.member)
	}
}

func (q *entryQueue) enqueue(e *entry) {
	if q.closed {
		return
	}

	switch {
	case e.queued:
	case len(q.entries) == maxEntries:
		q.dropped++
	default:
		e.queued = true
		q.entries = append(q.entries, e)
		q.known[e.member] = e
	}

	q.ringAt(e.due)
}

// ringAt lets the timer fire at a time at the latest.
func (q *entryQueue) ringAt(at time.Time) {
	switch {
	case q.closed, !q.rings.IsZero() && !at.Before(q.rings):
		return
	case q.timer == nil:
		q.timer = time.AfterFunc(time.Until(at), q.ring)
	default:
		q.timer.Reset(time.Until(at))
	}

	q.rings = at
}

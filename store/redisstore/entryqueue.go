package redisstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// entryQueue holds the entries that this process must write to one set of the index.
type entryQueue struct {
	store *Store
	name  string // of the set
	// writing is held by the one writer, so that an older score never overtakes a newer one.
	writing chan struct{}

	mu      sync.Mutex
	entries []*entry
	// known has the latest entry of each record that is queued or being written.
	known  map[string]*entry
	timer  *time.Timer
	rings  time.Time // when the timer fires; zero if it is stopped
	cleans time.Time // when the set is cleaned next
	closed bool
	// dropped counts the entries that found the queue full since the last report.
	dropped int
}

var errQueueFull = errors.New("the queue is full and entries were dropped: Run or Sweep finds their records")

func newEntryQueue(s *Store, name string) *entryQueue {
	return &entryQueue{
		store: s, name: name, writing: make(chan struct{}, 1), known: make(map[string]*entry), cleans: time.Now().Add(s.cleanFirst),
	}
}

// add queues an entry to be written at a time, unless its run has ended by then. The answer to a renewal may arrive after the end of the
// run.
func (q *entryQueue) add(e *entry, until int64, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()

	if e.over {
		return
	}

	e.until, e.due, e.since = max(e.until, until), due, due
	q.enqueue(e)
}

// found queues an entry of a record that a claim has found. The claims of a moment share one write.
func (q *entryQueue) found(member string, token store.Token, score int64, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()

	e := q.waiting(member, token)
	if e.over || e.queued {
		return
	}

	e.until, e.due, e.since = max(e.until, score), due, due
	q.enqueue(e)
}

// over removes the written entry of an ended run. The entry is nil if the owner has no receipt. Then the run has certainly ended only if
// its end was applied. The entry of a later run of the record stays.
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

// hold writes the entry of a run whose outcome is unknown from now on. The hold itself has succeeded, so a failure here does not fail it.
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

// forget removes the entry of a removed record, unless a later run has it. The score is the score of the record.
func (q *entryQueue) forget(ctx context.Context, w *work, member string, score int64) {
	q.mu.Lock()

	if e := q.known[member]; e != nil && e.until <= score {
		e.over = true
	}

	q.mu.Unlock()

	_ = q.apart(ctx, w, onIndex(ctx, &q.store.scripts.leave, q.name, member, score)) // a list removes the rest
}

// scoreOf returns a record's score in the set, or 0 if there is none or the set cannot be read.
func (q *entryQueue) scoreOf(ctx context.Context, w *work, member string) int64 {
	cmd := redis.NewFloatCmd(ctx, "ZSCORE", q.name, member)
	at := work{name: q.name, deadline: w.deadline}

	if err := q.store.exchange(ctx, &at, entrySize, false, cmd); err != nil || cmd.Err() != nil {
		return 0 // a list removes the rest
	}

	return int64(cmd.Val())
}

// apart sends a command after an operation that succeeded, within the operation's time.
func (q *entryQueue) apart(ctx context.Context, w *work, cmd redis.Cmder) error {
	ctx, cancel := context.WithDeadline(ctx, w.deadline)
	defer cancel()

	if err := q.begin(ctx); err != nil {
		return err
	}
	defer q.end()

	return q.send(ctx, 1, cmd)
}

// begin waits until no other write is under way. The method end lets the next write begin.
func (q *entryQueue) begin(ctx context.Context) error {
	select {
	case q.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // wrapped by the caller
	}
}

func (q *entryQueue) end() { <-q.writing }

// send sends commands on the set, and reports the result to the observer.
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

// ring writes the entries that are due, and cleans the set from time to time. The next ring is a moment later, so that many entries go
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

// flush writes the entries that are due at now. Entries that could not be written are tried again.
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
			return err // the others stay queued
		}
	}
}

// reportDropped reports dropped entries. Its caller must not hold the lock, because it calls an observer.
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

// close stops the timer. Entries that are added later are not written.
func (q *entryQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.closed = true

	if q.timer != nil {
		q.timer.Stop()
	}
}

// waits reports whether entries are queued or being written.
func (q *entryQueue) waits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()

	return len(q.entries) > 0 || len(q.known) > 0
}

// ringAgain rings again later, because another write took too long.
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

// entrySize is the approximate size of an entry in a command, in bytes.
const entrySize = 64

// take removes the due entries from the queue.
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

// write writes changes to the set.
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

// settle notes which changes succeeded, and queues the others again.
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

// waiting returns the entry of a run that is queued or being written, or a new entry. It is for owners without a receipt. The caller holds
// the lock, also for the methods below.
func (q *entryQueue) waiting(member string, token store.Token) *entry {
	if e := q.known[member]; e != nil && e.token == token {
		return e
	}

	return &entry{member: member, token: token}
}

// drop forgets an entry that is neither queued nor being written.
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

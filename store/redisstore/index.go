package redisstore

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// The index finds the records that are not settled, so that nothing has to look at every key of the server. It is a few sorted sets that
// all records share. A record is a member of one of them, chosen by its key, and the score is the time in milliseconds at which its outcome
// is unknown: the end of its lease, or the time of its hold.
//
// The index is not in the way of a call: a claim and its completion do not touch it. The entry of a run is written a moment after its
// claim, together with others, and not at all if the run is over by then. So an entry is a hint. It may be missing for a while, and it may
// outlive its record. Whoever lists reads the records, and removes the entries that are wrong.
const (
	indexes = 16
	// indexDelay is how long after its claim the entry of a run is written.
	indexDelay = 100 * time.Millisecond
	// indexRetry is how long after a failure entries are written again, and indexPatience for how long they are tried. What is given up,
	// the sweep finds.
	indexRetry    = time.Second
	indexPatience = time.Minute
	// maxEntries is how many entries wait to be written at most, and maxTogether how many are written together.
	maxEntries  = 1 << 16
	maxTogether = 1000
	// cleanEvery is how often entries are removed whose records have expired unsettled.
	cleanEvery = time.Hour
)

// entry is one run in the index.
type entry struct {
	member string

	// These are guarded by index.mu.
	until   int64     // the score that it is to have
	written int64     // the score that it has, as far as this process knows; 0 if it is not there
	due     time.Time // when it is to be written
	since   time.Time // since when it is to be written
	over    bool      // the run is over
	queued  bool
}

// index writes the entries of this process.
type index struct {
	store *Store
	names [indexes]string
	// turn is taken by whoever writes, so that an older score does not overtake a newer one.
	turn chan struct{}

	mu    sync.Mutex
	queue []*entry
	// known has the latest entry of each record while that waits in the queue, or is on its way to the server.
	known   map[string]*entry
	timer   *time.Timer
	rings   time.Time // when the timer fires; zero if it does not
	cleaned [indexes]time.Time
	closed  bool
}

func newIndex(s *Store) *index {
	x := &index{store: s, turn: make(chan struct{}, 1), known: make(map[string]*entry)}

	for i := range x.names {
		x.names[i] = s.prefix + "index:" + strconv.FormatInt(int64(i), indexes)
	}

	return x
}

// nameOf is the name of the index that a member is in.
func (x *index) nameOf(member string) string { return x.names[numberOf(member)] }

// numberOf is the number of the index that a member is in.
func numberOf(member string) int {
	if member == "" {
		return 0
	}

	return int(member[0]) % indexes
}

// scoreOf is the score of a record that is not settled, and 0 for others.
func scoreOf(rec *store.Record) int64 {
	switch rec.State {
	case store.Running:
		return rec.LeaseUntil.UnixMilli()
	case store.Unknown:
		return rec.EndedAt.UnixMilli()
	case store.Absent, store.Released, store.Completed:
		return 0
	default:
		return 0
	}
}

// add has an entry written at a time, unless its run is over by then. The answer to a renewal may come after the end of the run.
func (x *index) add(e *entry, until int64, due time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()

	if e.over {
		return
	}

	e.until, e.due, e.since = max(e.until, until), due, due
	x.enqueue(e)
}

// over has the entry of a run that is over removed, if it has been written. The entry is nil where the owner has no receipt: it is then
// known that the run is over only if its end was applied.
func (x *index) over(e *entry, member string, isApplied bool) {
	x.mu.Lock()
	defer x.mu.Unlock()

	switch {
	case e == nil && !isApplied:
		return
	case e == nil:
		e = x.waiting(member)
	}

	e.over = true

	if e.written != 0 {
		e.due = time.Now().Add(x.store.delay)
		e.since = e.due
		x.enqueue(e)
	}
}

// waiting is the entry of a record that waits to be written or is on its way, or a new one. It is called with the lock, by owners without a
// receipt.
func (x *index) waiting(member string) *entry {
	if e := x.known[member]; e != nil {
		return e
	}

	return &entry{member: member}
}

// drop ends the knowledge of an entry that neither waits nor is on its way. It is called with the lock.
func (x *index) drop(e *entry) {
	if x.known[e.member] == e {
		delete(x.known, e.member)
	}
}

// enqueue is called with the lock.
func (x *index) enqueue(e *entry) {
	if x.closed {
		return
	}

	if !e.queued && len(x.queue) < maxEntries {
		e.queued = true
		x.queue = append(x.queue, e)
		x.known[e.member] = e
	}

	x.ringAt(e.due)
}

// ringAt lets the timer fire at a time at the latest. It is called with the lock.
func (x *index) ringAt(at time.Time) {
	switch {
	case x.closed, !x.rings.IsZero() && !at.Before(x.rings):
		return
	case x.timer == nil:
		x.timer = time.AfterFunc(time.Until(at), x.ring)
	default:
		x.timer.Reset(time.Until(at))
	}

	x.rings = at
}

// ring writes what is due. The next time is a moment later, so that many entries go together.
func (x *index) ring() {
	ctx, cancel := context.WithTimeout(context.Background(), x.store.timeout)
	defer cancel()

	x.mu.Lock()
	x.rings = time.Time{}
	x.mu.Unlock()

	_ = x.flush(ctx, time.Now())
}

// flush writes the entries that are due at a time. Those that cannot be written are tried again.
func (x *index) flush(ctx context.Context, now time.Time) error {
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		x.ringAgain()

		return ctx.Err() //nolint:wrapcheck // wrapped by the caller
	}

	for {
		due := x.take(now)
		if len(due) == 0 {
			return nil
		}

		if err := x.write(ctx, due); err != nil {
			return err // the rest waits with them
		}
	}
}

// ringAgain lets the timer fire again, because another write has lasted too long.
func (x *index) ringAgain() {
	x.mu.Lock()
	defer x.mu.Unlock()

	if len(x.queue) > 0 {
		x.ringAt(time.Now().Add(indexRetry))
	}
}

// take takes entries out of the queue whose time has come.
func (x *index) take(now time.Time) (due []change) {
	x.mu.Lock()
	defer x.mu.Unlock()

	kept := x.queue[:0]

	var next time.Time

	for _, e := range x.queue {
		switch {
		case e.over && e.written == 0, !e.over && e.written == e.until:
			e.queued = false // there is nothing to do
			x.drop(e)
		case len(due) == maxTogether || e.due.After(now):
			if kept = append(kept, e); next.IsZero() || e.due.Before(next) {
				next = e.due
			}
		default:
			e.queued = false
			due = append(due, change{entry: e, score: e.until, was: e.written, removes: e.over})
		}
	}

	clear(x.queue[len(kept):])
	x.queue = kept

	if len(kept) > 0 {
		x.ringAt(later(next, time.Now().Add(x.store.delay/4)))
	}

	return due
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}

	return b
}

// change is an entry on its way to the server.
type change struct {
	entry      *entry
	score, was int64
	removes    bool
}

// write writes changes, all of an index together.
func (x *index) write(ctx context.Context, due []change) error {
	var (
		byIndex [indexes][]change
		errs    []error
		cmds    []redis.Cmder
		of      []int // the index of each command
	)

	for _, c := range due {
		i := numberOf(c.entry.member)
		byIndex[i] = append(byIndex[i], c)
	}

	for i, changes := range byIndex {
		for _, cmd := range x.commands(ctx, i, changes) {
			cmds, of = append(cmds, cmd), append(of, i)
		}
	}

	err := x.store.together(ctx, cmds)

	var failed [indexes]error

	for j := range cmds {
		cause := err
		if cause == nil {
			cause = cmds[j].Err()
		}

		if failed[of[j]] == nil && cause != nil {
			failed[of[j]] = cause
			errs = append(errs, indexFailure("writing to", x.names[of[j]], cause))
		}
	}

	x.settle(byIndex, failed)

	return errors.Join(errs...)
}

// commands are those that write the changes of one index.
func (x *index) commands(ctx context.Context, i int, changes []change) (cmds []redis.Cmder) {
	var added, removed []any

	for _, c := range changes {
		if c.removes {
			removed = append(removed, c.entry.member, c.was)
		} else {
			added = append(added, c.score, c.entry.member)
		}
	}

	if len(added) > 0 {
		cmds = append(cmds, x.script(ctx, &x.store.scripts.enter, x.names[i], append([]any{"GT"}, added...)...))

		if before := x.expired(i, changes); before > 0 {
			cmds = append(cmds, redis.NewIntCmd(ctx, "ZREMRANGEBYSCORE", x.names[i], "-inf", before))
		}
	}

	if len(removed) > 0 {
		cmds = append(cmds, x.script(ctx, &x.store.scripts.leave, x.names[i], removed...))
	}

	return cmds
}

// script is a command that runs a script on an index. Its text goes along: it is short, and runs seldom.
func (*index) script(ctx context.Context, op *script, name string, args ...any) *redis.IntCmd {
	cmd := redis.NewIntCmd(ctx, append([]any{"EVAL", op.source, "1", name}, args...)...)
	cmd.SetFirstKeyPos(firstKey)

	return cmd
}

// expired is the score up to which the records of an index have expired, if it is time to remove their entries, and 0 otherwise. The
// scores are times of the server, and this process knows no other.
func (x *index) expired(i int, changes []change) int64 {
	x.mu.Lock()
	defer x.mu.Unlock()

	if now := time.Now(); now.Sub(x.cleaned[i]) >= cleanEvery {
		x.cleaned[i] = now

		least := changes[0].score
		for _, c := range changes {
			least = min(least, c.score)
		}

		return least - int64(span(x.store.unknown)) //nolint:gosec // it has 44 bits
	}

	return 0
}

// settle notes which changes have been made, and has the others tried again.
func (x *index) settle(byIndex [indexes][]change, failed [indexes]error) {
	x.mu.Lock()
	defer x.mu.Unlock()

	now := time.Now()

	for i, changes := range byIndex {
		for _, c := range changes {
			e := c.entry

			switch {
			case failed[i] != nil:
				if now.Sub(e.since) < indexPatience && !errors.Is(failed[i], redis.ErrClosed) {
					e.due = now.Add(indexRetry)
					x.enqueue(e)
				}
			case c.removes:
				e.written = 0
			default:
				e.written = c.score

				if e.over { // meanwhile
					x.enqueue(e)
				}
			}

			if !e.queued {
				x.drop(e)
			}
		}
	}
}

// hold writes the entry of a run whose outcome is unknown from now on. The operation has taken effect, so a failure is not its failure.
func (x *index) hold(ctx context.Context, w *work, e *entry, member string, at int64) {
	x.mu.Lock()

	if e == nil {
		e = x.waiting(member)
	}

	e.until, e.over = at, false
	x.mu.Unlock()

	cmd := x.script(ctx, &x.store.scripts.enter, x.nameOf(member), at, member)
	err := x.apart(ctx, w, cmd)

	x.mu.Lock()
	defer x.mu.Unlock()

	if err == nil {
		e.written = at

		return
	}

	e.since = time.Now()
	e.due = e.since.Add(indexRetry)
	x.enqueue(e)
}

// forget removes the entry of a record that is gone, unless it is another run's by now. If the score is not known, it is removed anyway.
func (x *index) forget(ctx context.Context, w *work, member string, score int64) {
	x.mu.Lock()

	if e := x.known[member]; e != nil && (score == 0 || e.until <= score) {
		e.over = true
	}

	x.mu.Unlock()

	var cmd redis.Cmder = redis.NewIntCmd(ctx, "ZREM", x.nameOf(member), member)

	if score != 0 {
		cmd = x.script(ctx, &x.store.scripts.leave, x.nameOf(member), member, score)
	}

	_ = x.apart(ctx, w, cmd) // whoever lists removes what is left
}

// apart sends a command by itself, within the time of an operation that has taken effect.
func (x *index) apart(ctx context.Context, w *work, cmd redis.Cmder) error {
	ctx, cancel := context.WithDeadline(ctx, w.deadline)
	defer cancel()

	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // nobody is told
	}

	if err := x.store.together(ctx, []redis.Cmder{cmd}); err != nil {
		return err
	}

	return cmd.Err() //nolint:wrapcheck // nobody is told
}

// close writes what waits, and ends the timer.
func (x *index) close(ctx context.Context) error {
	x.mu.Lock()
	x.closed = true

	if x.timer != nil {
		x.timer.Stop()
	}
	x.mu.Unlock()

	return x.flush(ctx, time.Now().Add(x.store.delay+2*indexPatience))
}

// together sends commands on any keys together. After an error nobody may look at the commands; otherwise each has its own.
func (s *Store) together(ctx context.Context, cmds []redis.Cmder) error {
	if len(cmds) == 0 {
		return nil
	}

	return s.batches.wire.await(ctx, func() error {
		s.batches.wire.send(ctx, cmds)

		return nil
	})
}

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
// The index does not delay a call: a claim and its completion do not touch it. The entry of a run is written a moment after its
// claim, together with others, and not at all if the run is over by then. So an entry is a hint. It may be missing for a while, and it may
// outlive its record. A list reads the records, and removes the entries that are wrong.
const (
	indexes = 16
	// indexDelay is how long after its claim the entry of a run is written.
	indexDelay = 100 * time.Millisecond
	// indexRetry is how long after a failure entries are written again, and indexPatience for how long they are tried. What is given up,
	// the sweep finds.
	indexRetry    = time.Second
	indexPatience = time.Minute
	// maxEntries is how many entries of a set wait to be written at most, and maxTogether how many are written together.
	maxEntries  = 1 << 12
	maxTogether = 1000
	// cleanEvery is how often entries are removed whose records have expired unsettled, and cleanFirst how long after the construction of
	// a store.
	cleanEvery = time.Hour
	cleanFirst = time.Minute
)

// entry is one run in the index.
type entry struct {
	member string
	token  store.Token // of the run

	// These are guarded by entryQueue.mu.
	until   int64     // the score that it is to have
	written int64     // the score that it has, as far as this process knows; 0 if it is not there
	due     time.Time // when it is to be written
	since   time.Time // since when it is to be written
	over    bool      // the run is over
	queued  bool
}

// index writes the entries of this process. Each set has a queue of its own, so that a server that fails holds up no set but its own.
type index struct {
	queues [indexes]*entryQueue
}

func newIndex(s *Store) *index {
	x := new(index)

	for i := range x.queues {
		x.queues[i] = newEntryQueue(s, s.prefix+"index:"+strconv.FormatInt(int64(i), indexes))
	}

	return x
}

// of is the queue of the set that a member is in.
func (x *index) of(member string) *entryQueue { return x.queues[numberOf(member)] }

// numberOf is the number of the set that a member is in.
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

// flush writes all entries of this process, however young.
func (x *index) flush(ctx context.Context) error {
	var (
		wg   sync.WaitGroup
		errs [indexes]error
	)

	for i, q := range x.queues {
		if q.waits() {
			wg.Go(func() { errs[i] = q.flush(ctx, time.Now().Add(q.store.delay+2*indexPatience)) })
		}
	}

	wg.Wait()

	return errors.Join(errs[:]...)
}

// close writes what waits, and ends the timers.
func (x *index) close(ctx context.Context) error {
	for _, q := range x.queues {
		q.close()
	}

	return x.flush(ctx)
}

// runOver has the entry of a run removed that is over. It is called after the end of a run, whether the end was applied or not.
func (s *Store) runOver(w *work, given any, token store.Token, isApplied bool) {
	if s.index != nil {
		member := s.memberOf(w.name)
		s.index.of(member).over(s.entryOf(given, w.name), member, token, isApplied)
	}
}

// runHeld writes the entry of a run whose outcome is unknown since a time of the server.
func (s *Store) runHeld(ctx context.Context, w *work, op *store.Hold, at int64) {
	if s.index != nil {
		member := s.memberOf(w.name)
		s.index.of(member).hold(ctx, w, s.entryOf(op.Receipt, w.name), member, op.Token, at)
	}
}

// memberOf is what the index calls a record.
func (s *Store) memberOf(name string) string { return name[len(s.prefix):] }

// entryOf is the entry of a run in the index that a receipt names, or nil.
func (s *Store) entryOf(given any, name string) *entry {
	if own := receiptOf(given, name); own != nil {
		return own.entry
	}

	return nil
}

// onIndex is a command that runs a script on a set of the index. Its text goes along: it is short, and runs seldom.
func onIndex(ctx context.Context, op *script, name string, args ...any) *redis.IntCmd {
	cmd := redis.NewIntCmd(ctx, append([]any{"EVAL", op.source, "1", name}, args...)...)
	cmd.SetFirstKeyPos(firstKey)

	return cmd
}

// together sends commands on any keys together. After an error the commands must not be read. Otherwise each has an answer or an error of
// its own.
func (s *Store) together(ctx context.Context, cmds []redis.Cmder) error {
	if len(cmds) == 0 {
		return nil
	}

	return s.batches.wire.await(ctx, func() error {
		s.batches.wire.send(ctx, cmds)

		return nil
	})
}

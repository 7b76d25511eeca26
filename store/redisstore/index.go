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

// The index finds unsettled records, so that a list need not read every key of the server. It has a few sorted sets that all records share.
// The key of a record determines its set. The score is the time in milliseconds from which the outcome is unknown: the end of the lease, or
// the time of the hold.
//
// The index does not delay calls: claims and completions do not write to it. The entry of a run is written a moment after its claim,
// together with others. A run that has ended by then gets no entry. So an entry is only a hint. It may be missing for a while, and it may
// outlive its record. A list reads the records and removes wrong entries.
const (
	indexes = 16
	// indexDelay is the time from the claim of a run to the write of its entry.
	indexDelay = 100 * time.Millisecond
	// indexRetry is the time from a failed write of entries to the next try. indexPatience is how long they are tried. The sweep finds the
	// records of abandoned entries.
	indexRetry    = time.Second
	indexPatience = time.Minute
	// maxEntries bounds the queued entries of a set, and maxTogether the entries of one write.
	maxEntries  = 1 << 12
	maxTogether = 1000
	// cleanEvery is the interval at which entries are removed whose records expired unsettled. cleanFirst is the time from the construction of
	// a store to the first removal.
	cleanEvery = time.Hour
	cleanFirst = time.Minute
)

// entry is a run in the index.
type entry struct {
	member string
	token  store.Token // of the run

	// The fields below are guarded by entryQueue.mu.
	until   int64     // the score to write
	written int64     // the score in the set, as far as this process knows; 0 if there is none
	due     time.Time // when to write
	since   time.Time // when the write was first due
	over    bool      // the run has ended
	queued  bool
}

// index writes the entries of this process. Each set has its own queue, so that a failing server delays only its own sets.
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

// of returns the queue of a member's set.
func (x *index) of(member string) *entryQueue { return x.queues[numberOf(member)] }

// numberOf returns the number of a member's set.
func numberOf(member string) int {
	if member == "" {
		return 0
	}

	return int(member[0]) % indexes
}

// scoreOf returns the score of an unsettled record, and 0 for other records.
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

// flush writes all queued entries, also those that are not due yet.
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

// close writes the queued entries and stops the timers.
func (x *index) close(ctx context.Context) error {
	for _, q := range x.queues {
		q.close()
	}

	return x.flush(ctx)
}

// runOver removes the entry of an ended run. It is called after every end, applied or not.
func (s *Store) runOver(w *work, given any, token store.Token, isApplied bool) {
	if s.index != nil {
		member := s.memberOf(w.name)
		s.index.of(member).over(s.entryOf(given, w.name), member, token, isApplied)
	}
}

// runHeld writes the entry of a run whose outcome became unknown at a time of the server.
func (s *Store) runHeld(ctx context.Context, w *work, op *store.Hold, at int64) {
	if s.index != nil {
		member := s.memberOf(w.name)
		s.index.of(member).hold(ctx, w, s.entryOf(op.Receipt, w.name), member, op.Token, at)
	}
}

// foundUnknown queues the entry of a record whose outcome is unknown. Its process may have died before it wrote the entry.
func (s *Store) foundUnknown(w *work, rec *store.Record) {
	if s.index == nil {
		return
	}

	member := s.memberOf(w.name)
	s.index.of(member).found(member, rec.Token, scoreOf(rec), w.began.Add(s.delay))
}

// memberOf returns the index member of a record.
func (s *Store) memberOf(name string) string { return name[len(s.prefix):] }

// entryOf returns the index entry in a receipt, or nil.
func (s *Store) entryOf(given any, name string) *entry {
	if own := receiptOf(given, name); own != nil {
		return own.entry
	}

	return nil
}

// onIndex returns a command that runs a script on a set of the index. The command has the whole script, which is short and rarely runs.
func onIndex(ctx context.Context, op *script, name string, args ...any) *redis.IntCmd {
	cmd := redis.NewIntCmd(ctx, append([]any{"EVAL", op.source, "1", name}, args...)...)
	cmd.SetFirstKeyPos(firstKey)

	return cmd
}

// together sends commands on any keys in one round trip. After an error the commands must not be read. Otherwise each has an answer or its
// own error.
func (s *Store) together(ctx context.Context, cmds []redis.Cmder) error {
	if len(cmds) == 0 {
		return nil
	}

	return s.batches.wire.await(ctx, func() error {
		s.batches.wire.send(ctx, cmds)

		return nil
	})
}

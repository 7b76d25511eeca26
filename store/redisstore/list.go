package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// page is how many entries of a set, or records, are read at once.
const page = 100

// ListUnknown implements [store.Lister]. It takes one round trip if nothing is unknown, and reads only the records of entries whose time
// has come.
//
// It finds the claim of another process from about 100 ms after the claim. [Store.Sweep] and [Store.Run] add two kinds of records that it
// does not find: those of processes that died within these 100 ms, and those that were claimed under WithoutIndex.
//
// If a server of a cluster is down, ListUnknown yields the other records, and then one error that names what may be missing.
func (s *Store) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, (*store.Result).Unknown, 0)
}

// ListRunning implements [store.Lister]. It reads the whole index, and the record of every entry. Missing records and errors are as in
// ListUnknown. It keeps the keys that it has yielded in memory until it ends.
func (s *Store) ListRunning(ctx context.Context) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		// A renewal moves an entry to a page that the list has not read yet.
		yielded := make(map[store.Key]struct{})

		for listed, err := range s.list(ctx, alive, -latest) {
			if _, again := yielded[listed.Key]; again && err == nil {
				continue
			}

			if err == nil {
				yielded[listed.Key] = struct{}{}
			}

			if !yield(listed, err) {
				return
			}
		}
	}
}

// alive reports whether the record was Running under a lease when it was read.
func alive(res *store.Result) bool { return res.Record.LeaseAlive(res.Now) }

// list lists the wanted records. Age is as in listing.
func (s *Store) list(ctx context.Context, wanted func(res *store.Result) bool, age int64) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		if s.index == nil {
			return
		}

		l := listing{store: s, yield: yield, operation: store.OperationList, wanted: wanted, age: age}
		names := make([]string, indexes)

		for i, q := range s.index.queues {
			names[i] = q.name
		}

		// The list includes the claims of its own process.
		l.note(s.flush(ctx))

		if l.run(ctx, names...) {
			if err := l.problem(); err != nil {
				yield(store.Listed{}, err)
			}
		}
	}
}

// flush writes all queued entries of this process, within the time of an operation.
func (s *Store) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	return s.index.flush(ctx)
}

// clean removes the entries of a set whose records expired unsettled. It reads each record first. A record may live longer, because its
// owner may be alive, or because other processes have another unknown retention. After a failure the rest is left to the next time.
func (s *Store) clean(ctx context.Context, name string) {
	l := listing{
		store: s, yield: func(store.Listed, error) bool { return true }, operation: store.OperationSweep, wanted: (*store.Result).Unknown,
		age: int64(span(s.unknown)), //nolint:gosec // it has 44 bits
	}

	l.run(ctx, name)
}

// listing is one pass over the index.
type listing struct {
	store     *Store
	yield     func(store.Listed, error) bool
	operation store.Operation
	// wanted selects the records to yield.
	wanted func(res *store.Result) bool
	// age is how many milliseconds ago the time of an entry must have come. It is negative to include later times.
	age int64

	// ended is the error that ends the list. problems are the errors of parts of the index.
	ended    error
	problems []error
	// unread is the number of records that could not be read. because is the error of the first of them.
	unread  int
	because error
}

func (l *listing) note(err error) { l.problems = append(l.problems, err) }

// ends reports whether an error ends the list: the caller has gone, or the only server does not answer.
func (l *listing) ends(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !isReply(err) && l.store.batches.servers.cluster == nil {
		l.ended = err
	}

	return l.ended != nil
}

// misses notes records that could not be read.
func (l *listing) misses(ctx context.Context, records int, err error) {
	if !l.ends(ctx, err) {
		l.unread += records
		l.because = cmp.Or(l.because, err)
	}
}

// problem returns why the list is incomplete, or nil.
func (l *listing) problem() error {
	switch {
	case l.ended != nil:
		return l.ended
	case l.unread > 0:
		l.note(fmt.Errorf("redisstore: list: %d records could not be read, the first one because: %w", l.unread, l.because))
	}

	return errors.Join(l.problems...)
}

// run lists sets of the index. It returns false if the caller ended the list.
func (l *listing) run(ctx context.Context, names ...string) bool {
	pages := make([]*cursor, len(names))
	for i, name := range names {
		pages[i] = &cursor{index: name, from: "-inf"}
	}

	for len(pages) > 0 && l.ended == nil {
		for entries := range slices.Chunk(l.read(ctx, pages), page) {
			if l.ended == nil && !l.records(ctx, entries) {
				return false
			}
		}

		pages = slices.DeleteFunc(pages, func(c *cursor) bool { return c.done })
	}

	return true
}

// cursor is the position in a set. A page begins at the score of the last entry of the page before, because entries leave the
// set during the list. It skips the entries that were listed already.
type cursor struct {
	index string
	from  string
	seen  map[string]bool // the entries with this score
	done  bool
}

// listEntry is an entry of the index in a list.
type listEntry struct {
	index, member, score string
}

// read reads a page of each set.
func (l *listing) read(ctx context.Context, pages []*cursor) (entries []listEntry) {
	var err error
	defer l.store.report.Answered(ctx, l.operation, l.store.report.Clock(), &err)

	bounded, cancel := context.WithTimeout(ctx, l.store.timeout)
	defer cancel()

	cmds := make([]redis.Cmder, len(pages))

	for i, c := range pages {
		cmd := redis.NewStringSliceCmd(bounded, "EVAL", l.store.scripts.due.source, "1", c.index, c.from, page+len(c.seen), l.age)
		cmd.SetFirstKeyPos(firstKey)
		cmds[i] = cmd
	}

	if err = l.store.together(bounded, cmds); err != nil {
		err = failure("reading the index", err)
		l.ended = err

		return nil
	}

	for i, c := range pages {
		pairs, failed := cmds[i].(*redis.StringSliceCmd).Result() //nolint:forcetypeassert,errcheck // made above
		if failed == nil {
			entries = c.take(pairs, entries)

			continue
		}

		err, c.done = indexFailure("reading", c.index, failed), true
		if l.ends(ctx, err) {
			return nil
		}

		l.note(err)
	}

	return entries
}

// take reads a page: members, each with its score.
func (c *cursor) take(pairs []string, entries []listEntry) []listEntry {
	c.done = len(pairs)/2 < page+len(c.seen)

	for i := 0; i+1 < len(pairs); i += 2 {
		member, score := pairs[i], pairs[i+1]

		if score != c.from {
			c.from, c.seen = score, make(map[string]bool)
		}

		if !c.seen[member] {
			c.seen[member] = true

			entries = append(entries, listEntry{c.index, member, score})
		}
	}

	return entries
}

// records reads the records of entries, yields the wanted ones, and removes the entries of settled or absent records. It returns false if
// the caller ended the list.
func (l *listing) records(ctx context.Context, entries []listEntry) bool {
	var stale []listEntry

	replies, err := l.store.lookups(ctx, entries)
	if err != nil {
		l.misses(ctx, len(entries), err)

		return true
	}

	for i, e := range entries {
		key, ok := keyOf(e.member)
		if !ok {
			stale = append(stale, e)

			continue
		}

		var res store.Result

		reply, err := replies[i].Result()
		if err != nil {
			err = failure("list", err)
		} else {
			_, _, err = decodeReply(&res, l.store.prefix+e.member, reply, "")
		}

		switch {
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			if !l.yield(store.Listed{Key: key}, err) {
				return false
			}
		case err != nil:
			l.misses(ctx, 1, err)

			if l.ended != nil {
				return true
			}
		case l.wanted(&res):
			if !l.yield(store.Listed{Key: key, Result: res}, nil) {
				return false
			}
		case res.Record.State != store.Running && res.Record.State != store.Unknown:
			stale = append(stale, e)
		}
	}

	l.store.prune(ctx, l.operation, stale)

	return true
}

// lookups reads the records of entries. It takes one round trip if the servers have the script.
func (s *Store) lookups(ctx context.Context, entries []listEntry) ([]*redis.StringCmd, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	script := &s.scripts.listed
	replies := make([]*redis.StringCmd, len(entries))

	for _, by := range []struct{ command, script string }{{"EVALSHA", script.sha}, {"EVAL", script.source}} {
		var cmds []redis.Cmder

		for i, e := range entries {
			if replies[i] == nil || redis.HasErrorPrefix(replies[i].Err(), "NOSCRIPT") {
				replies[i] = newEval(ctx, by.command, by.script, s.prefix+e.member, nil, nil, "")
				cmds = append(cmds, replies[i])
			}
		}

		if len(cmds) == 0 {
			break
		}

		if err := s.together(ctx, cmds); err != nil {
			return nil, failure("list", err)
		}
	}

	return replies, nil
}

// prune removes entries of settled and expired records, unless another run has the entry by now. Entries that cannot be removed are left to
// the next list.
func (s *Store) prune(ctx context.Context, operation store.Operation, stale []listEntry) {
	if len(stale) == 0 {
		return
	}

	var err error
	defer s.report.Indexed(ctx, s.report.Clock(), len(stale), &err)

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	cmds := make([]redis.Cmder, len(stale))

	for i, e := range stale {
		cmds[i] = onIndex(ctx, &s.scripts.leave, e.index, e.member, e.score)
	}

	if err = s.together(ctx, cmds); err != nil {
		err = failure("cleaning the index", err)

		return
	}

	removed := 0

	for i, cmd := range cmds {
		if failed := cmd.Err(); failed == nil {
			removed++
		} else {
			err = cmp.Or(err, indexFailure("cleaning", stale[i].index, failed))
		}
	}

	s.report.Repaired(ctx, operation, removed)
}

// keyOf returns the key of an index member.
func keyOf(member string) (key store.Key, ok bool) {
	if len(member) != len(key) {
		return key, false
	}

	copy(key[:], member)

	return key, true
}

// indexFailure describes an error about a set of the index.
func indexFailure(doing, name string, err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return fmt.Errorf("redisstore: %s the index %s: another type is stored under its name, so that records are not listed: "+
			"rename or delete that key, then call Sweep: %w", doing, strconv.Quote(name), err)
	}

	return fmt.Errorf("redisstore: %s the index %s: %w", doing, strconv.Quote(name), err)
}

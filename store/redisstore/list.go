package redisstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// page is how many entries of an index, and how many records, are read at once.
const page = 100

// ListUnknown implements [store.Lister]. It takes one round trip if nothing is unknown, and reads only records whose lease has ended, as
// far as the index knows.
//
// It finds a record that was claimed in another process from about 100 ms after the claim on. It does not find a record that was claimed
// under WithoutIndex, nor one whose process died within these 100 ms, until [Store.Sweep] or [Store.Run] has come to it.
func (s *Store) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		if s.index == nil {
			return
		}

		l := listing{store: s, yield: yield}

		// What this process knows, it finds.
		l.note(s.index.flushAll(ctx))

		if l.run(ctx) && l.problem != nil {
			yield(store.Listed{}, l.problem)
		}
	}
}

// listing is one run of ListUnknown.
type listing struct {
	store *Store
	yield func(store.Listed, error) bool
	// problem is what went wrong with an index, which does not keep the others from being listed.
	problem error
}

func (l *listing) note(err error) { l.problem = errors.Join(l.problem, err) }

// run lists all indexes, and reports whether to go on.
func (l *listing) run(ctx context.Context) bool {
	pages := make([]*cursor, indexes)
	for i := range pages {
		pages[i] = &cursor{index: l.store.index.names[i], from: "-inf"}
	}

	for len(pages) > 0 {
		entries, err := l.read(ctx, pages)
		if err != nil {
			l.yield(store.Listed{}, err)

			return false
		}

		if !l.records(ctx, entries) {
			return false
		}

		open := pages[:0]

		for _, c := range pages {
			if !c.done {
				open = append(open, c)
			}
		}

		pages = open
	}

	return true
}

// cursor is how far an index has been read. A page begins at the score of the last entry of the page before, and leaves out the entries
// that have been seen, because entries leave the index while it is listed.
type cursor struct {
	index string
	from  string
	seen  map[string]bool // the entries with this score
	done  bool
}

// found is an entry of an index.
type found struct {
	index, member, score string
}

// read reads a page of each index.
func (l *listing) read(ctx context.Context, pages []*cursor) (entries []found, err error) {
	defer l.store.report.Answered(ctx, store.OperationList, l.store.report.Clock(), &err)

	ctx, cancel := context.WithTimeout(ctx, l.store.timeout)
	defer cancel()

	cmds := make([]redis.Cmder, len(pages))

	for i, c := range pages {
		cmd := redis.NewStringSliceCmd(ctx, "EVAL", l.store.scripts.due.source, "1", c.index, c.from, page+len(c.seen))
		cmd.SetFirstKeyPos(firstKey)
		cmds[i] = cmd
	}

	if err := l.store.together(ctx, cmds); err != nil {
		return nil, failure("reading the index", err)
	}

	for i, c := range pages {
		pairs, err := cmds[i].(*redis.StringSliceCmd).Result() //nolint:forcetypeassert,errcheck // made above

		switch {
		case err == nil:
			entries = c.take(pairs, entries)
		case isReply(err):
			l.note(indexFailure("reading", c.index, err))

			c.done = true
		default:
			return nil, indexFailure("reading", c.index, err)
		}
	}

	return entries, nil
}

// take takes a page: members, each with its score.
func (c *cursor) take(pairs []string, entries []found) []found {
	c.done = len(pairs)/2 < page+len(c.seen)

	for i := 0; i+1 < len(pairs); i += 2 {
		member, score := pairs[i], pairs[i+1]

		if score != c.from {
			c.from, c.seen = score, make(map[string]bool)
		}

		if !c.seen[member] {
			c.seen[member] = true

			entries = append(entries, found{c.index, member, score})
		}
	}

	return entries
}

// records reads the records of entries, tells of those whose outcome is unknown, and removes the entries of those that are settled or
// gone. It reports whether to go on.
func (l *listing) records(ctx context.Context, entries []found) bool {
	for len(entries) > 0 {
		n := min(len(entries), page)

		if !l.some(ctx, entries[:n]) {
			return false
		}

		entries = entries[n:]
	}

	return true
}

func (l *listing) some(ctx context.Context, entries []found) bool {
	var stale []found

	replies, err := l.store.lookups(ctx, entries)
	if err != nil {
		l.yield(store.Listed{}, err)

		return false
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
			l.yield(store.Listed{}, err)

			return false
		case res.Unknown():
			if !l.yield(store.Listed{Key: key, Result: res}, nil) {
				return false
			}
		case res.Record.State != store.Running:
			stale = append(stale, e)
		}
	}

	err = l.store.prune(ctx, stale)
	l.note(err)

	if err == nil {
		l.store.report.Repaired(ctx, store.OperationList, len(stale))
	}

	return true
}

// lookups reads the records of entries, in one round trip if the servers know the script.
func (s *Store) lookups(ctx context.Context, entries []found) ([]*redis.StringCmd, error) {
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

// prune removes entries whose records have expired unsettled, or have been settled, unless another run has the entry by now.
func (s *Store) prune(ctx context.Context, stale []found) error {
	if len(stale) == 0 {
		return nil
	}

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	cmds := make([]redis.Cmder, len(stale))

	for i, e := range stale {
		cmds[i] = s.index.script(ctx, &s.scripts.leave, e.index, e.member, e.score)
	}

	if err := s.together(ctx, cmds); err != nil {
		return failure("cleaning the index", err)
	}

	for i, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return indexFailure("cleaning", stale[i].index, err)
		}
	}

	return nil
}

// flushAll writes all entries of this process, however young.
func (x *index) flushAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, x.store.timeout)
	defer cancel()

	return x.flush(ctx, time.Now().Add(x.store.delay+2*indexPatience))
}

// keyOf is the key of a member of an index.
func keyOf(member string) (key store.Key, ok bool) {
	if len(member) != len(key) {
		return key, false
	}

	copy(key[:], member)

	return key, true
}

// indexFailure says what went wrong with an index.
func indexFailure(doing, name string, err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return fmt.Errorf("redisstore: %s the index %s: something else than an index is stored under its name, so that records are not "+
			"listed: rename or delete that key, then run Sweep: %w", doing, strconv.Quote(name), err)
	}

	return fmt.Errorf("redisstore: %s the index %s: %w", doing, strconv.Quote(name), err)
}

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/store"
)

// The index is one sorted set for each hash tag, 256 in all. It holds the records of that tag that are not settled, all with the
// score 0 and so in the order of their keys; the scripts keep it in the same step as the record. So nothing has to look at every key
// of the server.
const (
	indexes = 256
	// page is how many entries of an index are read at once.
	page = 100
)

// ListUnknown implements [store.Lister]. It finds no record that was claimed under WithoutIndex.
func (s *Store) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		for first := range indexes {
			if !s.listIndex(ctx, byte(first), yield) {
				return
			}
		}
	}
}

// listIndex lists the records of one index, and reports whether to go on.
func (s *Store) listIndex(ctx context.Context, first byte, yield func(store.Listed, error) bool) bool {
	index := s.indexOf(s.name(&store.Key{first}))

	// Entries leave the index while it is listed, also by the hand of who is told of them. So a page begins behind the last entry of
	// the one before, and not at a rank.
	for from := "-"; ; {
		members, err := s.page(ctx, index, from)
		if err != nil {
			yield(store.Listed{}, err)

			return false
		}

		for _, member := range members {
			if !s.listOne(ctx, index, member, yield) {
				return false
			}
		}

		if len(members) < page {
			return true
		}

		from = "(" + members[len(members)-1]
	}
}

// page reads a part of an index.
func (s *Store) page(ctx context.Context, index, from string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	cmd := redis.NewStringSliceCmd(ctx, "ZRANGE", index, from, "+", "BYLEX", "LIMIT", 0, page)
	if err := process(ctx, s.client, cmd); err != nil {
		return nil, failure("reading an index", err)
	}

	return cmd.Val(), nil
}

// listOne tells about one entry of an index, and reports whether to go on.
func (s *Store) listOne(ctx context.Context, index, member string, yield func(store.Listed, error) bool) bool {
	key, ok := s.keyOf(index, member)
	if !ok {
		return s.prune(ctx, index, member, yield)
	}

	res, err := s.Lookup(ctx, key)

	switch {
	case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
		return yield(store.Listed{Key: key}, err)
	case err != nil:
		yield(store.Listed{}, err)

		return false
	case res.Unknown():
		return yield(store.Listed{Key: key, Result: res}, nil)
	case res.Record.State == store.Running:
		return true
	default:
		return s.prune(ctx, index, member, yield)
	}
}

// prune removes an entry whose record has expired unsettled, or was settled without the index, if that is so still: somebody
// may just have claimed it again. It reports whether to go on.
func (s *Store) prune(ctx context.Context, index, member string, yield func(store.Listed, error) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	script := &s.scripts.prune
	name := index + member

	err := process(ctx, s.client, newEval(ctx, "EVALSHA", script.sha, name, index, nil, nil, ""))
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = process(ctx, s.client, newEval(ctx, "EVAL", script.source, name, index, nil, nil, ""))
	}

	if err != nil {
		yield(store.Listed{}, failure("cleaning an index", err))

		return false
	}

	return true
}

// keyOf is the key of an entry of an index.
func (s *Store) keyOf(index, member string) (store.Key, bool) {
	var key store.Key

	if len(member) != len(key)-1 {
		return key, false
	}

	if _, err := fmt.Sscanf(index[len(s.prefix):], "{%02x}", &key[0]); err != nil {
		return key, false
	}

	copy(key[1:], member)

	return key, true
}

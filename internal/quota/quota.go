package quota

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
)

// Shared is the scope of those who have no share of their own: only the whole bounds it.
const Shared uint64 = 0

// slack is for how many scopes a stripe keeps room without a thought.
const slack = 64

// stripes is how many parts the scopes are kept in, each under its own lock. It is a power of two.
const stripes = 32

// Quota counts what is held of a resource: in all, and by each scope. It is safe for concurrent use. A scope that holds nothing costs
// no memory.
type Quota struct {
	limit, share int64

	used   atomic.Int64
	scopes [stripes]stripe
}

// stripe is a part of the scopes.
type stripe struct {
	mu   sync.Mutex
	held map[uint64]int64
	peak int // how many scopes the map has had room for

	_ [40]byte // to a cache line of its own
}

// New returns a quota of which nothing is held. All scopes together may hold limit, each but [Shared] no more than share. A share of
// limit or more bounds no scope, and then none is counted. It panics where limit or share is below 1.
func New(limit, share int64) *Quota {
	if limit < 1 || share < 1 {
		panic(fmt.Sprintf("quota: New(%d, %d): give at least 1 for both", limit, share))
	}

	return &Quota{limit: limit, share: min(share, limit)}
}

// Limit is what all scopes together may hold.
func (q *Quota) Limit() int64 { return q.limit }

// Share is what one scope may hold.
func (q *Quota) Share() int64 { return q.share }

// Used is what all scopes hold together.
func (q *Quota) Used() int64 { return q.used.Load() }

// Take takes n for a scope, all of it or nothing, and reports whether it has. What was taken is given back with Give. It panics where
// n is negative.
func (q *Quota) Take(scope uint64, n int64) bool {
	mustNotBeNegative(n)

	if !q.takeShare(scope, n) {
		return false
	}

	if !q.takeWhole(n) {
		q.giveShare(scope, n)

		return false
	}

	return true
}

// Force takes n for a scope, whatever the bounds. It is for what is there already and has to be counted, and is given back with Give.
// It panics where n is negative.
func (q *Quota) Force(scope uint64, n int64) {
	mustNotBeNegative(n)
	q.used.Add(n)

	if !q.counts(scope) || n == 0 {
		return
	}

	s := q.stripe(scope)

	s.mu.Lock()
	defer s.mu.Unlock()

	s.add(scope, n)
}

// Give gives back n of what a scope has taken. It panics where the scope, or all together, have not taken as much, or n is negative.
func (q *Quota) Give(scope uint64, n int64) {
	mustNotBeNegative(n)
	q.giveShare(scope, n)

	if q.used.Add(-n) < 0 {
		panic("quota: more was given back than was taken")
	}
}

// Full reports whether there is no room for one more for a scope: its share is used up, or the whole is. Others may take or give in
// the meantime, so that the answer is a good guess at once.
func (q *Quota) Full(scope uint64) bool {
	return q.used.Load() >= q.limit || q.OverShare(scope, 1)
}

// OverShare reports whether n more would be more than the share of a scope, whatever the others hold. It tells which of the two bounds
// is reached where Take has failed.
func (q *Quota) OverShare(scope uint64, n int64) bool {
	return q.counts(scope) && n > q.share-q.held(scope)
}

// counts reports whether a scope has a share of its own.
func (q *Quota) counts(scope uint64) bool { return scope != Shared && q.share < q.limit }

// takeWhole takes n of the whole. It never goes beyond the limit, so that Take does not fail for what another Take gives back.
func (q *Quota) takeWhole(n int64) bool {
	for {
		used := q.used.Load()
		if n > q.limit-used && n > 0 {
			return false
		}

		if q.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (q *Quota) takeShare(scope uint64, n int64) bool {
	if !q.counts(scope) {
		return true
	}

	s := q.stripe(scope)

	s.mu.Lock()
	defer s.mu.Unlock()

	if n > q.share-s.held[scope] && n > 0 {
		return false
	}

	s.add(scope, n)

	return true
}

func (q *Quota) giveShare(scope uint64, n int64) {
	if !q.counts(scope) {
		return
	}

	s := q.stripe(scope)

	s.mu.Lock()
	defer s.mu.Unlock()

	s.add(scope, -n)
}

func (q *Quota) held(scope uint64) int64 {
	s := q.stripe(scope)

	s.mu.Lock()
	defer s.mu.Unlock()

	return s.held[scope]
}

// stripe is the part that keeps a scope. Scopes may be hashes or small numbers, so that their bits are mixed.
func (q *Quota) stripe(scope uint64) *stripe {
	const fibonacci = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio

	return &q.scopes[(scope*fibonacci)>>(64-5)]
}

// add changes what a scope holds. The caller has the lock.
func (s *stripe) add(scope uint64, n int64) {
	held := s.held[scope] + n

	switch {
	case held < 0:
		panic("quota: a scope has given back more than it had taken")
	case held == 0:
		delete(s.held, scope)
		s.shrink()

		return
	case s.held == nil:
		s.held = make(map[uint64]int64)
	}

	s.held[scope] = held
	s.peak = max(s.peak, len(s.held))
}

// shrink gives up the room of scopes that hold nothing any more, which a map keeps for ever.
func (s *stripe) shrink() {
	if s.peak <= slack || len(s.held) > s.peak/4 {
		return
	}

	s.held = maps.Collect(maps.All(s.held))
	s.peak = len(s.held)
}

func mustNotBeNegative(n int64) {
	if n < 0 {
		panic(fmt.Sprintf("quota: %d is negative", n))
	}
}

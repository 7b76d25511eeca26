package quota

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
)

// Shared is the scope without a share of its own. Only the limit of all scopes bounds it.
const Shared uint64 = 0

// slack is the number of scopes for which a stripe always keeps memory.
const slack = 64

// stripes is the number of parts of the scopes, each with its own lock. It is a power of two.
const stripes = 32

// Quota counts how much of a resource is held, in total and by each scope. It is safe for concurrent use. A scope that holds nothing costs
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
	peak int // the most scopes in the map since it was made

	_ [40]byte // to a cache line of its own
}

// New returns an empty quota. All scopes together may hold limit. Each scope except [Shared] may hold share. If share is limit or more,
// scopes are not bounded and not counted. New panics if limit or share is below 1.
func New(limit, share int64) *Quota {
	if limit < 1 || share < 1 {
		panic(fmt.Sprintf("quota: New(%d, %d): give at least 1 for both", limit, share))
	}

	return &Quota{limit: limit, share: min(share, limit)}
}

// Limit returns how much all scopes together may hold.
func (q *Quota) Limit() int64 { return q.limit }

// Share returns how much one scope may hold.
func (q *Quota) Share() int64 { return q.share }

// Used returns how much all scopes hold together.
func (q *Quota) Used() int64 { return q.used.Load() }

// Take takes n for a scope, all of it or nothing, and reports whether it has. Return the amount with Give. Take panics if n is negative.
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

// Force takes n for a scope without regard to the bounds. Use it to count what exists already. Return the amount with Give. Force panics if
// n is negative.
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

// Give returns n of what a scope has taken. It panics if the scope, or all scopes together, have taken less, or if n is negative.
func (q *Quota) Give(scope uint64, n int64) {
	mustNotBeNegative(n)
	q.giveShare(scope, n)

	if q.used.Add(-n) < 0 {
		panic("quota: more was given back than was taken")
	}
}

// Full reports whether Take of 1 would fail for a scope: its share or the limit is used up. The answer may be outdated at once, because
// others take and give at the same time.
func (q *Quota) Full(scope uint64) bool {
	return q.used.Load() >= q.limit || q.OverShare(scope, 1)
}

// OverShare reports whether n more would exceed the share of a scope. If Take has failed, it shows which of the two bounds is reached.
func (q *Quota) OverShare(scope uint64, n int64) bool {
	return q.counts(scope) && n > q.share-q.held(scope)
}

// counts reports whether a scope has a share of its own.
func (q *Quota) counts(scope uint64) bool { return scope != Shared && q.share < q.limit }

// takeWhole takes n of the limit. It never exceeds the limit for a moment, so it makes no other Take fail by mistake.
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

// stripe returns the part that has a scope. Scopes may be hashes or small numbers, so their bits are mixed.
func (q *Quota) stripe(scope uint64) *stripe {
	const fibonacci = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio

	return &q.scopes[(scope*fibonacci)>>(64-5)]
}

// add changes how much a scope holds. The caller holds the lock.
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

// shrink frees the memory of scopes that hold nothing any more. A Go map does not free it by itself.
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

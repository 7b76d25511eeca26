package quota

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// takes fails unless a Take says what it must.
func takes(t *testing.T, q *Quota, scope uint64, n int64, want bool) {
	t.Helper()

	if got := q.Take(scope, n); got != want {
		t.Errorf("Take(%d, %d) with %d in use is %t, must be %t", scope, n, q.Used(), got, want)
	}
}

func fills(t *testing.T, q *Quota, scope uint64, full, ofScope bool) {
	t.Helper()

	if q.Full(scope) != full || q.OverShare(scope, 1) != ofScope {
		t.Errorf("scope %d with %d in use: full %t and by its share %t, must be %t and %t",
			scope, q.Used(), q.Full(scope), q.OverShare(scope, 1), full, ofScope)
	}
}

func TestF72_OneScopeCannotUseUpTheWhole(t *testing.T) {
	t.Parallel()

	q := New(10, 5)

	for range 5 {
		fills(t, q, 1, false, false)
		takes(t, q, 1, 1, true)
	}

	fills(t, q, 1, true, true)
	takes(t, q, 1, 1, false)

	fills(t, q, 2, false, false)
	takes(t, q, 2, 5, true)

	// The whole is used up now, and a third scope has all of its share.
	fills(t, q, 3, true, false)
	takes(t, q, 3, 1, false)
	takes(t, q, Shared, 1, false)

	q.Give(1, 1)
	fills(t, q, 3, false, false)
	takes(t, q, 3, 1, true)

	if q.Used() != 10 {
		t.Errorf("%d are in use, must be 10", q.Used())
	}
}

func TestThoseWhoShareAScopeOnPurposeMayHaveTheWhole(t *testing.T) {
	t.Parallel()

	q := New(10, 2)
	takes(t, q, Shared, 9, true)
	fills(t, q, Shared, false, false)
	takes(t, q, Shared, 2, false)
	takes(t, q, Shared, 1, true)
	fills(t, q, Shared, true, false)
}

func TestATakeIsAllOrNothing(t *testing.T) {
	t.Parallel()

	q := New(10, 5)
	takes(t, q, 1, 6, false)
	takes(t, q, 1, 5, true)
	takes(t, q, 2, 5, true)
	takes(t, q, 3, 1, false)

	// What the whole had no room for is not held by the scope.
	q.Give(1, 5)
	takes(t, q, 3, 5, true)
	takes(t, q, 1, 0, true)
}

func TestWhatIsForcedIsCounted(t *testing.T) {
	t.Parallel()

	q := New(10, 5)
	q.Force(1, 20)
	fills(t, q, 1, true, true)
	fills(t, q, 2, true, false)
	takes(t, q, 2, 1, false)

	q.Give(1, 14)
	takes(t, q, 1, 1, false)
	takes(t, q, 2, 4, true)
	q.Give(1, 6)
	takes(t, q, 1, 5, true)
	q.Force(1, 0)
}

func TestTheEndsOfTheRange(t *testing.T) {
	t.Parallel()

	for _, tc := range [][2]int64{{1, 1}, {1, math.MaxInt64}, {math.MaxInt64, 1}, {math.MaxInt64, math.MaxInt64}, {5, 5}, {5, 6}} {
		q := New(tc[0], tc[1])
		share := min(tc[0], tc[1])

		if q.Limit() != tc[0] || q.Share() != share {
			t.Errorf("New(%d, %d): limit %d and share %d", tc[0], tc[1], q.Limit(), q.Share())
		}

		takes(t, q, 1, share, true)
		takes(t, q, 1, 1, false)
		takes(t, q, 1, math.MaxInt64, false)
		q.Give(1, share)

		if q.Used() != 0 {
			t.Errorf("New(%d, %d): %d are in use after all was given back", tc[0], tc[1], q.Used())
		}
	}
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()

	for name, mistake := range map[string]func(){
		"no limit":              func() { New(0, 1) },
		"no share":              func() { New(1, 0) },
		"a negative take":       func() { New(1, 1).Take(1, -1) },
		"a negative gift":       func() { New(1, 1).Give(1, -1) },
		"a negative force":      func() { New(1, 1).Force(1, -1) },
		"more than the scope's": func() { q := New(9, 5); q.Take(1, 1); q.Take(2, 1); q.Give(1, 2) },
		"more than the whole":   func() { q := New(9, 9); q.Take(1, 1); q.Give(1, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			mistake()
		}()
	}
}

// room is how many scopes the maps have room for.
func (q *Quota) room() (scopes, kept int) {
	for i := range q.scopes {
		s := &q.scopes[i]

		s.mu.Lock()
		scopes += s.peak
		kept += len(s.held)
		s.mu.Unlock()
	}

	return scopes, kept
}

func TestScopesThatHoldNothingCostNoMemory(t *testing.T) {
	t.Parallel()

	const many = 100_000

	q := New(many, many/2)
	for scope := range uint64(many) {
		takes(t, q, 1+scope, 1, true)
	}

	for scope := range uint64(many) {
		q.Give(1+scope, 1)
	}

	if room, kept := q.room(); kept != 0 || room > stripes*slack {
		t.Errorf("%d scopes are kept with room for %d, must be none with room for %d at most", kept, room, stripes*slack)
	}
}

func TestScopesAreSpreadOverTheStripes(t *testing.T) {
	t.Parallel()

	for name, scope := range map[string]func(i uint64) uint64{
		"small numbers": func(i uint64) uint64 { return i },
		"high bits":     func(i uint64) uint64 { return i << 40 },
	} {
		q := New(math.MaxInt64, 1)
		for i := range uint64(100 * stripes) {
			q.Take(scope(1+i), 1)
		}

		for i := range q.scopes {
			if n := len(q.scopes[i].held); n > 300 {
				t.Errorf("%s: one stripe has %d scopes of %d", name, n, 100*stripes)
			}
		}
	}
}

func TestTheBoundsHoldUnderConcurrency(t *testing.T) {
	t.Parallel()

	const (
		limit, share = 100, 30
		workers      = 16
		rounds       = 2000
	)

	var (
		q    = New(limit, share)
		held [5]atomic.Int64
		all  atomic.Int64
		wg   sync.WaitGroup
	)

	for w := range workers {
		wg.Go(func() {
			scope := uint64(w % len(held))

			for i := range int64(rounds) {
				n := 1 + i%7
				if !q.Take(scope, n) {
					q.Full(scope)

					continue
				}

				mine, whole := held[scope].Add(n), all.Add(n)
				if whole > limit || scope != Shared && mine > share {
					t.Errorf("scope %d holds %d, and all hold %d", scope, mine, whole)
				}

				held[scope].Add(-n)
				all.Add(-n)
				q.Give(scope, n)
			}
		})
	}

	wg.Wait()

	if _, kept := q.room(); q.Used() != 0 || kept != 0 {
		t.Errorf("%d are in use by %d scopes after all was given back", q.Used(), kept)
	}
}

func BenchmarkTakeAndGive(b *testing.B) {
	for _, scope := range []uint64{Shared, 7} {
		b.Run(fmt.Sprintf("scope %d", scope), func(b *testing.B) {
			q := New(1000, 500)

			for b.Loop() {
				q.Take(scope, 1)
				q.Give(scope, 1)
			}
		})
	}
}

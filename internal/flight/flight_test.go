package flight_test

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/flight"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	group = flight.Group[string]
	own   = flight.Flight[string]
)

func key(n uint32) *store.Key {
	k := new(store.Key)
	binary.LittleEndian.PutUint32(k[:], n)

	return k
}

func sum(b byte) store.Fingerprint { return store.Fingerprint{Scheme: 1, Sum: [32]byte{b}} }

func closed(changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	default:
		return false
	}
}

func mustSee(t *testing.T, got flight.View[string], phase flight.Phase, fingerprint store.Fingerprint, landing string) {
	t.Helper()

	if got.Phase != phase || got.Fingerprint != fingerprint || got.Landing != landing {
		t.Errorf("got %+v, want phase %d of %v, landing %q", got, phase, fingerprint, landing)
	}

	if (got.Changed == nil) != (phase == flight.Over) {
		t.Errorf("Changed is %v in phase %d", got.Changed, phase)
	}
}

func TestFirstCallLeadsAndTheOthersGetItsFlight(t *testing.T) {
	t.Parallel()

	var (
		g                     group
		first, second, others own
	)

	if g.Board(key(1), &first) != &first || g.Board(key(1), &second) != &first {
		t.Error("the second call of a key does not get the flight of the first")
	}

	if g.Board(key(2), &others) != &others {
		t.Error("the first call of another key does not lead")
	}

	if n := g.Len(); n != 2 {
		t.Errorf("%d flights, want 2", n)
	}

	g.Land(key(1), &first, "done")

	if g.Board(key(1), &second) != &second {
		t.Error("a call after the landing does not lead")
	}
}

func TestFollowersSeeEveryPhaseAndTheLanding(t *testing.T) {
	t.Parallel()

	var (
		g group
		f own
	)

	k := key(1)
	g.Board(k, &f)

	seen := g.View(k, &f)
	mustSee(t, seen, flight.Claiming, store.Fingerprint{}, "")

	for _, phase := range []flight.Phase{flight.Blocked, flight.Running, flight.Recovering} {
		g.Enter(k, &f, phase, sum(1))

		if !closed(seen.Changed) {
			t.Errorf("phase %d is not signalled", phase)
		}

		seen = g.View(k, &f)
		mustSee(t, seen, phase, sum(1), "")
	}

	g.Enter(k, &f, flight.Recovering, sum(2)) // somebody else's record, in the same phase

	if !closed(seen.Changed) {
		t.Error("another record is not signalled")
	}

	seen = g.View(k, &f)
	g.Enter(k, &f, flight.Recovering, sum(2))

	if closed(seen.Changed) {
		t.Error("no change is signalled as one")
	}

	g.Land(k, &f, "done")

	if !closed(seen.Changed) {
		t.Error("the landing is not signalled")
	}

	mustSee(t, g.View(k, &f), flight.Over, sum(2), "done")
}

func TestFlightThatIsOverStaysAsItIs(t *testing.T) {
	t.Parallel()

	var (
		g         group
		f, second own
	)

	k := key(1)
	g.Board(k, &f)
	g.Enter(k, &f, flight.Running, sum(1))
	g.Land(k, &f, "done")
	g.Board(k, &second)

	g.Enter(k, &f, flight.Running, sum(2))
	g.Land(k, &f, "again")
	g.Land(k, new(own), "never boarded")
	mustSee(t, g.View(k, &f), flight.Over, sum(1), "done")

	if g.Board(k, new(own)) != &second {
		t.Error("a landing has removed another flight of the key")
	}
}

func TestFollowersAreBounded(t *testing.T) {
	t.Parallel()

	var (
		g group
		f own
	)

	k := key(1)
	g.Board(k, &f)

	for i, want := range []bool{true, true, false} {
		if g.Follow(k, &f, 2) != want {
			t.Errorf("follower %d of at most 2: counted in is %t", i+1, !want)
		}
	}

	g.Unfollow(k, &f)

	if !g.Follow(k, &f, 2) || g.Follow(k, &f, 0) {
		t.Error("a follower that has left does not make room, or a limit of 0 lets one in")
	}
}

func TestAllWhoWaitWakeUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			g     group
			f     own
			woken atomic.Int32
			wg    sync.WaitGroup
		)

		k := key(1)
		g.Board(k, &f)

		for range 100 {
			wg.Go(func() {
				for {
					seen := g.View(k, &f)
					if seen.Phase == flight.Over {
						woken.Add(1)

						return
					}

					<-seen.Changed
				}
			})
		}

		synctest.Wait()
		g.Enter(k, &f, flight.Running, sum(1))
		synctest.Wait()

		if n := woken.Load(); n != 0 {
			t.Errorf("%d followers saw a landing that has not been", n)
		}

		g.Land(k, &f, "done")
		wg.Wait()

		if n := woken.Load(); n != 100 {
			t.Errorf("%d followers were woken, want 100", n)
		}
	})
}

// For the race detector: calls of a few keys lead, follow and land at once, and one leads at a time.
func TestOneCallOfAKeyLeadsAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			g       group
			wg      sync.WaitGroup
			leading [3]atomic.Int32
			landed  atomic.Int32
		)

		for i := range 300 {
			wg.Go(func() {
				n := i % len(leading)
				k := key(uint32(n << 8))
				mine := new(own)

				f := g.Board(k, mine)
				if f == mine {
					if leading[n].Add(1) != 1 {
						t.Error("two calls lead at a time")
					}

					g.Enter(k, f, flight.Running, sum(byte(n)))
					time.Sleep(time.Duration(i%7) * time.Millisecond)
					leading[n].Add(-1)
					g.Land(k, f, "done")

					return
				}

				if !g.Follow(k, f, 1000) {
					t.Error("a follower was turned away")
				}
				defer g.Unfollow(k, f)

				for seen := g.View(k, f); seen.Phase != flight.Over; seen = g.View(k, f) {
					<-seen.Changed
				}

				landed.Add(1)
			})
		}

		wg.Wait()

		if n := g.Len(); n != 0 || landed.Load() == 0 {
			t.Errorf("%d flights are left, %d followers saw a landing", n, landed.Load())
		}
	})
}

func TestFlightThatNobodyFollowsAllocatesNothing(t *testing.T) {
	var g group

	k := key(1)
	f := new(own)

	g.Board(k, f) // makes the shard's map
	g.Land(k, f, "")

	if n := testing.AllocsPerRun(100, func() {
		*f = own{}

		g.Board(k, f)
		g.Enter(k, f, flight.Running, sum(1))
		g.Land(k, f, "done")
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

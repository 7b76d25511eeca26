package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// moving is a client of an apparent cluster of one server, whose address changes with every move.
type moving struct {
	*redis.ClusterClient

	times atomic.Int64
}

func newMoving(t *testing.T) *moving {
	t.Helper()

	server := redistest.Standalone(t).Addr()
	m := new(moving)

	m.ClusterClient = redis.NewClusterClient(&redis.ClusterOptions{
		ContextTimeoutEnabled: true,
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
			addr := fmt.Sprintf("10.0.0.%d:6379", m.times.Load())

			return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: addr}}}}, nil
		},
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		},
	})

	return m
}

// move gives the server another address, which the client knows at once.
func (m *moving) move(t *testing.T) {
	t.Helper()

	m.times.Add(1)

	if err := m.ForEachMaster(t.Context(), func(context.Context, *redis.Client) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestLanesToServersThatHaveGoneAreForgotten(t *testing.T) {
	t.Parallel()

	m := newMoving(t)
	s := with(t, m.ClusterClient, redisstore.WithoutCheck())

	for range 2 * redisstore.MaxLanes {
		m.move(t)
		start(t, s, newClaim())

		if n := redisstore.Lanes(s); n < 1 || n > redisstore.MaxLanes {
			t.Fatalf("after %d moves there are %d lanes, want at most %d", m.times.Load(), n, redisstore.MaxLanes)
		}
	}
}

func TestALaneInUseIsNotForgotten(t *testing.T) {
	t.Parallel()

	m := newMoving(t)
	g := &gate{opened: make(chan struct{}), steps: make(chan struct{})}
	close(g.opened)
	m.AddHook(g)

	s := with(t, m.ClusterClient, redisstore.WithoutCheck(), unindexed)
	warm(t, s)

	// The lane is full, and one waits.
	busy := append(fill(t, s, g), queue(t.Context(), t, s, newClaim()))

	// Every move adds a lane on which nothing is under way for long.
	for range 2 * redisstore.MaxLanes {
		m.move(t)

		if err := redisstore.LaneOf(t.Context(), s, newKey()); err != nil {
			t.Fatal(err)
		}
	}

	if n := redisstore.Flights(s); n != redisstore.MaxFlights {
		t.Errorf("the lanes know of %d batches, want %d", n, redisstore.MaxFlights)
	}

	if n := redisstore.Waiting(s); n != 1 {
		t.Errorf("the lanes know of %d operations that wait, want 1", n)
	}

	if n := redisstore.Lanes(s); n > redisstore.MaxLanes {
		t.Errorf("there are %d lanes, want at most %d", n, redisstore.MaxLanes)
	}

	g.open()
	mustWin(t, s, busy...)
}

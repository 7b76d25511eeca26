package redisstore_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// narrow is a way to a server on which large answers do not pass while it is shut. Small ones do.
type narrow struct {
	mu     sync.Mutex
	opened chan struct{} // closed while it is open
	stuck  atomic.Int64  // connections with a large answer that does not pass
}

// passes is how many bytes of an answer pass.
const passes = 64 << 10

func newNarrow() *narrow {
	n := &narrow{opened: make(chan struct{})}
	close(n.opened)

	return n
}

func (n *narrow) shut() {
	n.mu.Lock()
	defer n.mu.Unlock()

	n.opened = make(chan struct{})
}

func (n *narrow) open() {
	n.mu.Lock()
	defer n.mu.Unlock()

	close(n.opened)
}

func (n *narrow) wait() {
	n.mu.Lock()
	opened := n.opened
	n.mu.Unlock()

	n.stuck.Add(1)
	<-opened
	n.stuck.Add(-1)
}

func (n *narrow) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}

	return &narrowConn{Conn: conn, way: n}, nil
}

// narrowConn is a connection on a narrow way.
type narrowConn struct {
	net.Conn

	way  *narrow
	read int // bytes of the answers to the last request
}

func (c *narrowConn) Write(data []byte) (int, error) {
	c.read = 0

	return c.Conn.Write(data)
}

func (c *narrowConn) Read(data []byte) (int, error) {
	if c.read >= passes {
		c.way.wait()
	}

	n, err := c.Conn.Read(data)
	c.read += n

	return n, err
}

func TestSmallClaimsAreAnsweredWhileSixteenLargeReplaysAreNot(t *testing.T) {
	t.Parallel()

	const replays, claims = 16, 60

	way := newNarrow()
	s := with(t, redis.NewClient(patient(redis.Options{
		Addr: redistest.Standalone(t).Addr(), Dialer: way.dial, ContextTimeoutEnabled: true, PoolSize: replays + 8,
	})), redisstore.WithTimeout(generous))

	kept := newClaim()
	outcome := strings.Repeat("x", 1<<20)

	start(t, s, kept)

	res, err := s.Complete(t.Context(), completion(kept, outcome))
	must(t, res, err)

	replay := func() {
		res, err := s.Claim(t.Context(), claimOn(kept.Key))
		if err != nil || res.Record.State != store.Completed || string(res.Record.Outcome) != outcome {
			t.Errorf("a replay: %v with %d bytes, %v", res.Record.State, len(res.Record.Outcome), err)
		}
	}

	replay() // one large answer lets the store expect more
	way.shut()

	var all sync.WaitGroup
	for range replays {
		all.Go(replay)
	}

	eventually(t, "all replays are on their way", func() bool { return way.stuck.Load() == replays })

	for range claims {
		claim := newClaim()
		start(t, s, claim)

		res, err := s.Complete(t.Context(), completion(claim, "small"))
		must(t, res, err)
	}

	if n := way.stuck.Load(); n != replays {
		t.Errorf("%d replays are on their way still, want %d", n, replays)
	}

	way.open()
	all.Wait()
}

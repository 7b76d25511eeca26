//go:build unix

package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// fleet is two servers. At random visits, one of them is killed and started again, until the kills are used up.
type fleet struct {
	world  *world
	config serverConfig
	slots  [2]atomic.Pointer[process]

	mu     sync.Mutex
	random *rand.Rand
	visits int
	next   int // the visit of the next kill
	left   int // kills

	dead   chan int // slots to start again
	closed sync.Once
	buried sync.WaitGroup
	failed error // of starting one again, known when buried
}

// fleetGap is the mean number of visits between two kills.
const fleetGap = 20

func newFleet(t *testing.T, w *world, config serverConfig, kills int) *fleet {
	t.Helper()

	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	f := &fleet{
		world: w, config: config, random: rand.New(rand.NewPCG(seed, seed)),
		next: fleetGap, left: kills, dead: make(chan int, kills),
	}

	for i := range f.slots {
		config.Name = fmt.Sprintf("%d, life 1", i)
		f.slots[i].Store(w.start(t, config))
	}

	ctx := context.WithoutCancel(t.Context())

	f.buried.Go(func() {
		for life := 2; ; life++ {
			i, ok := <-f.dead
			if !ok {
				return
			}

			config := f.config
			config.Name = fmt.Sprintf("%d, life %d", i, life)

			p, err := w.launch(ctx, config)
			if err != nil {
				f.failed = err

				return
			}

			f.slots[i].Store(p)
		}
	})

	w.watch(f.strike)
	t.Cleanup(func() { f.peace(t) })

	return f
}

// strike is called at every visit, and ends a server if it is time.
func (f *fleet) strike(v Visit) {
	if v.Key == "" {
		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	f.visits++
	if f.left == 0 || f.visits < f.next {
		return
	}

	i := f.random.IntN(len(f.slots))

	victim := f.slots[i].Load()
	if victim.isEnded() {
		return // it is about to be started again; the next visit strikes
	}

	f.left--
	f.next = f.visits + 1 + f.random.IntN(2*fleetGap)

	victim.kill()
	f.dead <- i
}

// counted returns how many visits there were.
func (f *fleet) counted() int {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.visits
}

func (p *process) isEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// peace ends the killing, and returns when all servers are up.
func (f *fleet) peace(t *testing.T) {
	t.Helper()
	f.closed.Do(func() {
		f.mu.Lock()
		if f.left > 0 {
			t.Errorf("%d kills were not used in %d visits", f.left, f.visits)
		}

		f.left = 0
		f.mu.Unlock()

		close(f.dead)
		f.buried.Wait()

		if f.failed != nil {
			t.Error(f.failed)
		}
	})
}

// dial returns a client that spreads its attempts over the servers and retries.
func (f *fleet) dial(t *testing.T) client {
	t.Helper()

	options, err := interceptor.DialOptions(interceptor.WithAllMethods(), interceptor.WithRetry(retry.Policy{
		MaxAttempts: 1000, BaseDelay: 20 * time.Millisecond, MaxDelay: 200 * time.Millisecond,
	}))
	if err != nil {
		t.Fatal(err)
	}

	slots := manual.NewBuilderWithScheme("fleet")

	var state resolver.State
	for i := range f.slots {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: strconv.Itoa(i)})
	}

	slots.InitialState(state)

	conn, err := grpc.NewClient("fleet:///", append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithResolvers(slots),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithContextDialer(f.connect),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
	)...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	c := client{pb.NewTestServiceClient(conn)}
	f.confirm(t, c)

	return c
}

// confirm makes calls until each slot has confirmed that it protects the method. From then on, calls are retried.
func (f *fleet) confirm(t *testing.T, c client) {
	t.Helper()

	for confirmed := make(map[string]bool); len(confirmed) < len(f.slots); {
		var at peer.Peer

		_, err := c.UnaryCall(t.Context(), payment(), interceptor.WithKey(fmt.Sprintf("confirm-%d", len(confirmed))), grpc.Peer(&at),
			grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}

		confirmed[at.Addr.String()] = true
	}
}

// slotConn is a connection to a slot, whose address stays while servers come and go.
type slotConn struct {
	net.Conn

	slot net.Addr
}

func (c slotConn) RemoteAddr() net.Addr { return c.slot }

// connect connects to the current server of the slot.
func (f *fleet) connect(ctx context.Context, slot string) (net.Conn, error) {
	i, err := strconv.Atoi(slot)
	if err != nil {
		return nil, err
	}

	p := f.slots[i].Load()
	if p.isEnded() {
		return nil, errors.New("the server has ended") // its port may be somebody else's
	}

	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}

	return slotConn{conn, &net.UnixAddr{Name: slot}}, nil
}

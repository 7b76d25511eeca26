//go:build unix

package chaos_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// TestRandomRunsOnRedis makes runs on a real server in real time. The connection has faults. The server forgets its
// scripts, and is killed and restarted with its data. The oracle is the same, without the check that needs the bubble:
// whether a run was ended in time.
func TestRandomRunsOnRedis(t *testing.T) {
	t.Parallel()

	for seed := *firstSeed; seed < *firstSeed+uint64(*redisRuns); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()

			s := newRealScenario(seed, "redis")
			h := s.liveOutside(newNetwork(t, s))

			if broken := s.judge(h); len(broken) > 0 {
				t.Errorf("seed %d: %d violations; again with: go test -race -run TestRandomRunsOnRedis . -seed %d -redis-runs 1\n%s",
					seed, len(broken), seed, report(h, broken))
			}

			var sum tally

			sum.add(h)
			t.Log(&sum)
		})
	}
}

// network is a server, the connection to it, and its late messages.
type network struct {
	t       *testing.T
	rng     *rand.Rand
	timeout time.Duration // of operations
	server  *redistest.Server
	line    *redistest.Proxy
	late    []*redistest.Armed
}

func newNetwork(t *testing.T, s *scenario) *network {
	t.Helper()

	server := redistest.Standalone(t, "--appendonly", "yes", "--appendfsync", "always")

	return &network{
		t: t, rng: source(s.seed, "network"), timeout: s.limits.StoreTimeout,
		server: server, line: redistest.NewProxy(t, server.Addr()),
	}
}

// calm implements surroundings.
func (n *network) calm(w *world) { n.timeout = w.calm() }

// connect implements surroundings.
func (n *network) connect() backend {
	records, err := redisstore.Open(n.line.URL(), redisstore.WithoutCheck(), redisstore.WithTimeout(n.timeout))
	if err != nil {
		panic(err)
	}

	n.t.Cleanup(func() { records.Close() })

	return records
}

// trouble implements surroundings.
func (n *network) trouble(w *world) {
	for time.Since(w.history.began) < w.scenario.horizon {
		time.Sleep(between(n.rng, 0, 150*time.Millisecond))

		d := between(n.rng, 10*time.Millisecond, 120*time.Millisecond)

		switch n.rng.IntN(12) {
		case 0, 1:
			n.lose(w, redistest.LostReply, d)
		case 2, 3:
			n.lose(w, redistest.LostRequest, d)
		case 4, 5, 6:
			n.late = append(n.late, n.lose(w, redistest.Late, 5*d)) // until claims are given up
		case 7:
			n.lose(w, redistest.Hung, d)
		case 8:
			w.notef("the connections are cut")
			n.line.Cut()
		case 9:
			w.notef("the replies are late by %v", d)
			n.line.Stall()
			time.Sleep(d)
			n.line.Unstall()
		case 10:
			w.notef("the scripts are forgotten")

			if err := n.server.Client().ScriptFlush(n.t.Context()).Err(); err != nil {
				n.t.Error(err)
			}
		case 11:
			if chance(n.rng, 0.5) {
				w.notef("the server is killed and started again")
				n.server.Restart()
			} else {
				w.notef("the line is down for %v", d)
				n.line.Down()
				time.Sleep(d)
				n.line.Up()
			}
		}

		if chance(n.rng, 0.3) {
			n.deliver(w)
		}
	}

	n.deliver(w)
}

// lose injects a fault into some operations for a while.
func (n *network) lose(w *world, fault redistest.Fault, d time.Duration) *redistest.Armed {
	choose := rand.New(rand.NewPCG(n.rng.Uint64(), 0))
	share := 0.2 + 0.8*choose.Float64()
	operation := redistest.Named("evalsha", "eval", "set")

	armed := n.line.Every(fault, func(c redistest.Command) bool { return operation(c) && chance(choose, share) })
	time.Sleep(d)
	armed.Disarm()
	w.notef("%v: %d times in %v", fault, armed.Count(), d)

	return armed
}

// deliver delivers late messages.
func (n *network) deliver(w *world) {
	for _, armed := range n.late {
		if armed.Count() > 0 {
			w.notef("%d operations arrive late", len(armed.Deliver()))
		}
	}

	n.late = nil
}

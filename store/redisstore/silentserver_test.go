package redisstore_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// clientsByTimeout returns clients whose own timeout is shorter than the store's, longer, or none.
func clientsByTimeout() map[string]func(t *testing.T, addr string) redis.UniversalClient {
	plain := func(o redis.Options) func(t *testing.T, addr string) redis.UniversalClient {
		return func(t *testing.T, addr string) redis.UniversalClient {
			t.Helper()

			o.Addr = addr

			return redis.NewClient(&o)
		}
	}
	pipeliner := func(wrap func(*redis.Client) (*redis.AutoPipeliner, error)) func(t *testing.T, addr string) redis.UniversalClient {
		return func(t *testing.T, addr string) redis.UniversalClient {
			t.Helper()

			client := redis.NewClient(&redis.Options{Addr: addr})
			t.Cleanup(func() { _ = client.Close() })

			wrapped, err := wrap(client)
			if err != nil {
				t.Fatal(err)
			}

			return wrapped
		}
	}

	return map[string]func(t *testing.T, addr string) redis.UniversalClient{
		"a client that heeds contexts":   plain(redis.Options{ContextTimeoutEnabled: true}),
		"a client with defaults":         plain(redis.Options{}),
		"a client without timeouts":      plain(redis.Options{ReadTimeout: -2, WriteTimeout: -2}),
		"a pipeliner":                    pipeliner((*redis.Client).AutoPipeline),
		"a pipeliner that does not wait": pipeliner((*redis.Client).AsyncAutoPipeline),
	}
}

func TestEveryOperationEndsInTimeWhileAServerIsSilentAndWorksAfterwards(t *testing.T) {
	t.Parallel()

	const callers = 50

	server := redistest.Standalone(t)

	for name, connect := range clientsByTimeout() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			proxy := redistest.NewProxy(t, server.Addr())
			s := with(t, connect(t, proxy.Addr()), redisstore.WithTimeout(unit), redisstore.WithoutCheck())

			eventually(t, "the store works", func() bool {
				_, err := s.Lookup(t.Context(), newKey())

				return err == nil
			})

			proxy.Stall()

			begin := time.Now()

			var wg sync.WaitGroup

			for range callers {
				wg.Go(func() {
					if _, err := s.Claim(t.Context(), newClaim()); !failed(err) {
						t.Errorf("an operation on a silent server: %v", err)
					}
				})
			}

			for range 2 {
				wg.Go(func() {
					for _, err := range s.ListUnknown(t.Context()) {
						if err == nil {
							t.Error("a silent server has a record")
						}
					}
				})
			}

			wg.Wait()

			if took := time.Since(begin); took > patience/2 {
				t.Errorf("they ended after %v", took)
			}

			proxy.Unstall()
			eventually(t, "the store works again", func() bool {
				_, err := s.Lookup(t.Context(), newKey())

				return err == nil
			})
			eventually(t, "nothing is under way", func() bool {
				return redisstore.Flights(s) == 0 && redisstore.Waiting(s) == 0
			})
		})
	}
}

func TestANodeThatIsSilentDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()

	const callers = 30

	cluster := redistest.NewCluster(t)
	plan := redistest.NewPlan(t)
	s := viaPlan(t, cluster, plan, redisstore.WithoutCheck())

	// Keys of the silent node, and of others.
	var silent, others []store.Claim

	node := cluster.Nodes()[0]

	for len(silent) < callers || len(others) < callers {
		claim := newClaim()

		if cluster.MasterFor(stored(claim.Key)) == node {
			silent = append(silent, claim)
		} else {
			others = append(others, claim)
		}
	}

	for _, claim := range []store.Claim{silent[0], others[0], others[1], others[2]} {
		eventually(t, "the client knows the cluster", func() bool {
			_, err := s.Lookup(t.Context(), claim.Key)

			return err == nil
		})
	}

	hung := plan.Every(redistest.Hung, func(c redistest.Command) bool { return c.Server == node.Addr() })

	var blocked sync.WaitGroup

	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()

	for _, claim := range silent[:callers] {
		blocked.Go(func() {
			if _, err := s.Claim(ctx, claim); !failed(err) {
				t.Errorf("an operation on the silent node: %v", err)
			}
		})
	}

	eventually(t, "operations wait for the silent node", func() bool { return redisstore.Flights(s) > 1 })

	var served sync.WaitGroup

	for _, claim := range others[:callers] {
		served.Go(func() {
			if _, err := s.Claim(t.Context(), claim); err != nil {
				t.Errorf("an operation on another node: %v", err)
			}
		})
	}

	served.Wait()

	if n := redisstore.Flights(s); n == 0 {
		t.Error("no operation waits for the silent node any more, so this proves nothing")
	}

	giveUp()
	blocked.Wait()
	hung.Disarm()
	plan.Cut()
	eventually(t, "the node is served again", func() bool {
		_, err := s.Lookup(t.Context(), silent[0].Key)

		return err == nil
	})
}

func TestNobodyEverGetsAnothersAnswer(t *testing.T) {
	t.Parallel()

	const (
		workers = 16
		rounds  = 20
		enough  = 100 // operations that are answered, however slow the machine is
	)

	server := redistest.Standalone(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := open(t, proxy.URL())
	warm(t, open(t, server.URL())) // so that the scripts are there

	var (
		wg       sync.WaitGroup
		answered atomic.Int64
		over     = make(chan struct{})
		cutter   sync.WaitGroup
	)

	cutter.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()

		// Some operations have been answered since the last cut, however slow the machine is.
		for last := int64(-1); ; {
			select {
			case <-ticker.C:
				if n := answered.Load(); n != last {
					last = n

					proxy.Cut()
				}
			case <-over:
				return
			}
		}
	})

	for worker := range workers {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(worker), 1))

			for round := 0; round < rounds || answered.Load() < enough; round++ {
				claim := newClaim()
				claim.ReadableKey = claim.Key.String()

				answered.Add(try(t, s, claim, dice, time.Duration(1+round/rounds)*150*time.Millisecond))
			}
		})
	}

	wg.Wait()
	close(over)
	cutter.Wait()

	eventually(t, "nothing is under way", func() bool { return redisstore.Flights(s) == 0 && redisstore.Waiting(s) == 0 })
	eventually(t, "claims work again", func() bool {
		res, err := s.Claim(t.Context(), newClaim())

		return err == nil && res.Applied
	})
}

// try makes operations on a key with random deadlines below most, and returns how many were answered. The answers must
// be about the key.
func try(t *testing.T, s *redisstore.Store, claim store.Claim, dice *rand.Rand, most time.Duration) (answered int64) {
	t.Helper()

	for range 3 {
		for name, run := range map[string]func(ctx context.Context) (store.Result, error){
			"claim":  func(ctx context.Context) (store.Result, error) { return s.Claim(ctx, claim) },
			"renew":  func(ctx context.Context) (store.Result, error) { return s.Renew(ctx, renewal(claim)) },
			"lookup": func(ctx context.Context) (store.Result, error) { return s.Lookup(ctx, claim.Key) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond+time.Duration(dice.Int64N(int64(most))))
			res, err := run(ctx)

			cancel()

			switch {
			case failed(err):
				continue
			case err != nil:
				t.Errorf("a %s: %v", name, err)
			case res.Record.State != store.Absent && (res.Record.ReadableKey != claim.ReadableKey || res.Record.Token != claim.Token):
				t.Errorf("a %s about %s is answered about %s", name, claim.ReadableKey, res.Record.ReadableKey)
			case res.Record.State == store.Absent && name == "claim":
				t.Error("a claim is answered with nothing")
			}

			answered++
		}
	}

	return answered
}

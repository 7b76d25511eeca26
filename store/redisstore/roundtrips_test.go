package redisstore_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// sent is how many operations have passed.
func sent(plan *redistest.Plan) int {
	n := 0

	for _, command := range plan.Commands() {
		if command.Name == "evalsha" || command.Name == "set" {
			n++
		}
	}

	return n
}

// warm lets the server know all scripts.
func warm(t *testing.T, s *redisstore.Store) {
	t.Helper()

	for _, op := range operations() {
		res, err := op.run(t.Context(), s, op.prepare(t, s))
		must(t, res, err)
	}
}

// knowsIFEQ reports whether a server knows SET with IFEQ: Valkey from 8.1, and Redis from 8.4.
func knowsIFEQ(t *testing.T, client *redis.Client) bool {
	t.Helper()

	return errors.Is(client.Do(t.Context(), "SET", "nothing", "", "IFEQ", "x").Err(), redis.Nil)
}

func TestEveryOperationIsOneRoundTripAndAHoldOneMoreForItsEntry(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		opts []redisstore.Option
		hold int
	}{
		"batching":         {nil, 2},
		"without batching": {[]redisstore.Option{redisstore.WithoutBatching()}, 2},
		"without index":    {[]redisstore.Option{redisstore.WithoutIndex()}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			server := redistest.Standalone(t)
			proxy := redistest.NewProxy(t, server.Addr())
			s := through(t, proxy, tt.opts...)
			warm(t, s)

			owned := 1 // the commands of a completion with a receipt
			if knowsIFEQ(t, server.Client()) {
				owned = 2
			}

			for _, op := range operations() {
				claim := op.prepare(t, s)
				flush(t, s)
				proxy.Reset()

				res, err := op.run(t.Context(), s, claim)
				must(t, res, err)

				commands, trips := 1, 1

				switch op.name {
				case "claim":
					commands = 2
				case "complete with a receipt", "complete with the receipt of a renewal":
					commands = owned
				case "hold":
					commands, trips = tt.hold, tt.hold
				}

				if n, got := len(proxy.Commands()), proxy.RoundTrips(); n != commands || got != trips {
					t.Errorf("%s: %d commands in %d round trips, want %d in %d: %s", op.name, n, got, commands, trips, names(proxy.Plan))
				}
			}

			proxy.Reset()
			lookup(t, s, newKey())

			if n := proxy.RoundTrips(); n != 1 {
				t.Errorf("a lookup took %d round trips", n)
			}
		})
	}
}

// While a cluster moves a slot, it answers a command with several keys with TRYAGAIN. Several keys share a slot only if
// they share a tag.
func TestF88EveryCommandNamesOneKey(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)
	plan := redistest.NewPlan(t)
	s := viaPlan(t, cluster, plan)

	plan.Reset()
	warm(t, s)

	for _, op := range operations() {
		res, err := op.run(t.Context(), s, op.prepare(t, s))
		must(t, res, err)
	}

	mustForgetAll(t, s)

	for _, list := range []func(context.Context) iter.Seq2[store.Listed, error]{s.ListUnknown, s.ListRunning} {
		for _, err := range list(t.Context()) {
			if err != nil {
				t.Error(err)
			}
		}
	}

	for _, command := range plan.Commands() {
		switch command.Name {
		case "set", "pexpiretime", "zrem":
		case "evalsha", "eval":
			if command.Args[1] != "1" {
				t.Errorf("%s names %s keys", command.Name, command.Args[1])
			}
		default:
			t.Errorf("is it sure that %s names one key?", command.Name)
		}
	}
}

// mustForgetAll forgets all records that are listed.
func mustForgetAll(t *testing.T, s *redisstore.Store) {
	t.Helper()

	for listed, err := range s.ListUnknown(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}

		rec := &listed.Result.Record

		res, err := s.Forget(t.Context(), store.Forgetting{Key: listed.Key, Token: rec.Token, Fence: rec.Fence, Force: true})
		must(t, res, err)
	}
}

func TestACallCostsTwoRoundTripsAndAReplayOne(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)
	warm(t, s)

	e := newEngine(t, s)

	for _, step := range []struct {
		name, request, want string
		trips               int
	}{
		{"an execution", "7 EUR", "executed", 2},
		{"a replay", "7 EUR", "replayed", 1},
		{"another request", "8 EUR", "IDEMPOTENCY_KEY_REUSED", 1},
	} {
		proxy.Reset()

		if got := call(t, e, step.request, func() {}); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}

		if n := proxy.RoundTrips(); n != step.trips {
			t.Errorf("%s took %d round trips, want %d: %v", step.name, n, step.trips, names(proxy.Plan))
		}
	}
}

// The first round trip finds a record that is not completed, and the second one decides on the server's clock.
func TestADuplicateOfACallThatRunsElsewhereIsAnsweredInTwoRoundTrips(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)
	warm(t, s)

	owner, other := newEngine(t, s), newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: onlyonce.NoWait}))

	var trips int

	got := call(t, owner, "7 EUR", func() {
		proxy.Reset()

		if got := call(t, other, "7 EUR", func() { t.Error("it ran twice") }); got != "IDEMPOTENCY_IN_PROGRESS" {
			t.Errorf("the duplicate: %s", got)
		}

		trips = proxy.RoundTrips()
	})
	if got != "executed" {
		t.Error(got)
	}

	if trips != 2 {
		t.Errorf("the duplicate took %d round trips, want 2", trips)
	}
}

func names(plan *redistest.Plan) string {
	all := make([]string, 0, 4)
	for _, command := range plan.Commands() {
		all = append(all, command.Name)
	}

	return strings.Join(all, " ")
}

func TestConcurrentOperationsShareRoundTrips(t *testing.T) {
	t.Parallel()

	const callers = 64

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)
	warm(t, s)

	proxy.Reset()
	proxy.Stall()
	occupied := occupy(t, s)

	var wg sync.WaitGroup

	results := make([]store.Result, callers)
	claims := make([]store.Claim, callers)

	for i := range callers {
		claims[i] = newClaim()

		wg.Go(func() {
			var err error

			results[i], err = s.Claim(t.Context(), claims[i])
			if err != nil {
				t.Error(err)
			}
		})
	}

	eventually(t, "all have come", func() bool { return redisstore.Waiting(s) == callers })

	proxy.Unstall()
	wg.Wait()
	occupied.Wait()

	for i, res := range results {
		if !res.Applied || res.Record.Token != claims[i].Token {
			t.Errorf("claim %d has got %+v", i, res)
		}
	}

	// The batches under way, and one batch with all the others.
	if n := proxy.RoundTrips(); n != redisstore.MaxFlights+1 {
		t.Errorf("%d claims took %d round trips, want 1", callers, n-redisstore.MaxFlights)
	}

	if n := sent(proxy.Plan); n != redisstore.MaxFlights+callers {
		t.Errorf("%d claims were %d commands", callers, n-redisstore.MaxFlights)
	}
}

// occupy lets as many batches of one operation be under way to a silent server as may be.
func occupy(t *testing.T, s *redisstore.Store) *sync.WaitGroup {
	t.Helper()

	var wg sync.WaitGroup

	for i := range redisstore.MaxFlights {
		wg.Go(func() {
			if _, err := s.Lookup(t.Context(), newKey()); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "it is under way", func() bool { return redisstore.Flights(s) == i+1 })
	}

	return &wg
}

func TestWithoutBatchingEveryOperationGoesAtOnce(t *testing.T) {
	t.Parallel()

	const callers = 5

	s, gate := gated(t, redistest.Standalone(t).Addr(), redisstore.WithoutBatching())
	gate.shut()

	var wg sync.WaitGroup

	for range callers {
		wg.Go(func() {
			if _, err := s.Claim(t.Context(), newClaim()); err != nil {
				t.Error(err)
			}
		})
	}

	gate.await(t, callers)
	gate.open()
	wg.Wait()
}

func TestABatchHoldsABoundedNumberOfOperations(t *testing.T) {
	t.Parallel()

	const callers = redisstore.MaxBatch + 40

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)
	warm(t, s)

	proxy.Reset()
	proxy.Stall()
	occupied := occupy(t, s)

	var wg sync.WaitGroup

	for range callers {
		wg.Go(func() { lookup(t, s, newKey()) })
	}

	eventually(t, "all have come", func() bool { return redisstore.Waiting(s) == callers })
	proxy.Unstall()
	wg.Wait()
	occupied.Wait()

	if n := proxy.RoundTrips(); n != redisstore.MaxFlights+2 {
		t.Errorf("%d operations took %d round trips, want 2", callers, n-redisstore.MaxFlights)
	}

	if n := sent(proxy.Plan); n != redisstore.MaxFlights+callers {
		t.Errorf("%d operations were %d commands", callers, n-redisstore.MaxFlights)
	}

	if left := redisstore.Waiting(s); left != 0 {
		t.Errorf("%d operations are left behind", left)
	}

	eventually(t, "no batch keeps the lane", func() bool { return redisstore.Flights(s) == 0 })
}

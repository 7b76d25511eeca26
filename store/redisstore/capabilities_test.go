package redisstore_test

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

func TestAStoreReportsItsCapabilities(t *testing.T) {
	t.Parallel()

	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	s := with(t, client, redisstore.WithoutCheck())
	can := s.Capabilities()

	if can.Inspector != store.Inspector(s) || can.Lister != store.Lister(s) || can.Forgetter != store.Forgetter(s) || !can.Bounded {
		t.Errorf("something is missing: %+v", can)
	}

	if can.Notifier != nil || can.Transactional != nil || can.Immediate || can.Part != nil {
		t.Errorf("something is there that it cannot do: %+v", can)
	}

	if can.UnknownRetention != redisstore.DefaultUnknownRetention {
		t.Errorf("the unknown retention is %v", can.UnknownRetention)
	}

	if can := with(t, client, redisstore.WithoutCheck(), redisstore.WithoutIndex()).Capabilities(); can.Lister != nil {
		t.Error("a store without an index lists")
	}
}

// valued is a client that cannot be compared.
type valued struct {
	*redis.Client

	_ []int
}

func TestStoresOfOneClientAndPrefixHaveOneHome(t *testing.T) {
	t.Parallel()

	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	other := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})

	t.Cleanup(func() { _ = errors.Join(client.Close(), other.Close()) })

	homeOf := func(client redisstore.Client, opts ...redisstore.Option) any {
		s, err := redisstore.New(client, append(opts, redisstore.WithoutCheck())...)
		if err != nil {
			t.Fatal(err)
		}

		return s.Capabilities().Home
	}

	home := homeOf(client)

	if home == nil || homeOf(client, redisstore.WithoutBatching()) != home {
		t.Error("two stores on one client and prefix have two homes")
	}

	if homeOf(client, redisstore.WithPrefix("other:")) == home {
		t.Error("another prefix has the same home")
	}

	if homeOf(other) == home {
		t.Error("another client has the same home")
	}

	if homeOf(valued{Client: client}) != nil {
		t.Error("a client that cannot be compared has a home")
	}
}

func TestF64PartsOfAClusterAreItsServers(t *testing.T) {
	t.Parallel()

	cluster := redistest.NewCluster(t)

	for name, opts := range map[string][]redisstore.Option{"batching": nil, "without batching": {redisstore.WithoutBatching()}} {
		plan := redistest.NewPlan(t)
		s := viaPlan(t, cluster, plan, opts...)
		part := s.Capabilities().Part

		claim := newClaim()
		if got := part(claim.Key); got != "" {
			t.Errorf("%s: before anything is sent, the part is %q", name, got)
		}

		parts := make(map[string]bool)

		for first := range 256 {
			claim := newClaim()
			claim.Key[0] = byte(first)
			start(t, s, claim)

			plan.Reset()

			got := part(claim.Key)
			if n := len(plan.Commands()); n != 0 {
				t.Fatalf("%s: naming a part sent %d commands", name, n)
			}

			lookup(t, s, claim.Key)

			if commands := plan.Commands(); len(commands) == 0 || commands[len(commands)-1].Server != got {
				t.Fatalf("%s: the part is %q, and the server is another one: %v", name, got, commands)
			}

			parts[got] = true
		}

		if len(parts) != 3 {
			t.Errorf("%s: the parts are %v, want those of three servers", name, parts)
		}
	}
}

func TestF64APartFollowsItsKeysToAnotherServer(t *testing.T) {
	t.Parallel()

	m := newMoving(t)
	s := with(t, m.ClusterClient, redisstore.WithoutCheck())
	key := newKey()
	seen := make(map[string]bool)

	for range 3 {
		m.move(t)
		lookup(t, s, key)
		seen[s.Capabilities().Part(key)] = true
	}

	if len(seen) != 3 || seen[""] {
		t.Errorf("the parts were %v, want three servers", seen)
	}
}

package redisstore

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestEveryKindOfClientIsKnownToHeedContextsOrNot(t *testing.T) {
	t.Parallel()

	heeding := &redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true}
	cluster := &redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ContextTimeoutEnabled: true}
	sentinel := &redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{"127.0.0.1:1"}, ContextTimeoutEnabled: true}

	single := redis.NewClient(heeding)

	pipeliner, err := single.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}

	for name, tt := range map[string]struct {
		client redis.UniversalClient
		heeds  bool
	}{
		"a client":                        {single, true},
		"a client of Sentinel":            {redis.NewFailoverClient(sentinel), true},
		"a client of a cluster":           {redis.NewClusterClient(cluster), true},
		"a cluster behind Sentinel":       {redis.NewFailoverClusterClient(sentinel), true},
		"a client of no deadline":         {redis.NewClient(&redis.Options{ContextTimeoutEnabled: true, ReadTimeout: -1}), true},
		"a client that sets no deadline":  {redis.NewClient(&redis.Options{ContextTimeoutEnabled: true, ReadTimeout: -2}), false},
		"a cluster that sets no deadline": {redis.NewClusterClient(&redis.ClusterOptions{ContextTimeoutEnabled: true, WriteTimeout: -2}), false},
		"a client with defaults":          {redis.NewClient(&redis.Options{}), false},
		"a cluster with defaults":         {redis.NewClusterClient(&redis.ClusterOptions{}), false},
		"a pipeliner":                     {pipeliner, false},
	} {
		if got := heedsContexts(tt.client); got != tt.heeds {
			t.Errorf("%s heeds contexts: %v, want %v", name, got, tt.heeds)
		}

		if err := tt.client.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// F90: the server refuses writes, so connections are spent as fast as they are made.
func TestF90AnOperationGoesAgainIfTheClientHasFoundOnlySpentConnections(t *testing.T) {
	t.Parallel()

	for name, cmds := range map[string][]string{"one command": {"a"}, "two commands": {"a", "b"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { goesAgain(t, cmds) })
		})
	}
}

func goesAgain(t *testing.T, names []string) {
	t.Helper()

	k := newLink()
	o := k.options()
	spent := 0
	routes := newRoutes(k.dial)

	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := routes.Dial(ctx, network, addr)

		if spent < resends+1 {
			spent++
			routes.route(addr).generation.Add(1)
		}

		return conn, err
	}

	client := redis.NewClient(o)

	t.Cleanup(func() {
		_ = client.Close()

		time.Sleep(time.Hour) // operations under way end
	})

	cmds := make([]redis.Cmder, 0, len(names))
	for _, name := range names {
		cmds = append(cmds, redis.NewStringCmd(t.Context(), "GET", name))
	}

	newWire(client).send(t.Context(), cmds)

	for i, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			t.Errorf("%s after %d spent connections: %v", names[i], spent, err)
		}

		if n := k.seen(names[i]); n != 1 {
			t.Errorf("%s has come %d times", names[i], n)
		}
	}
}

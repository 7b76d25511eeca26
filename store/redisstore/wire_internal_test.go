package redisstore

import (
	"testing"

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

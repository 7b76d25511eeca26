package redisstore_test

import (
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
)

// A claim is two commands that must stay together, and an auto-pipeliner batches single commands.
func TestClaimsThroughAnAutoPipelinerShareRoundTrips(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	client := redis.NewClient(patient(redis.Options{Addr: proxy.Addr(), PoolSize: 2}))

	t.Cleanup(func() { _ = client.Close() })

	pipelined, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}

	s := with(t, pipelined, unindexed)

	start(t, s, newClaim())
	proxy.Reset()

	const callers = 100

	var wg sync.WaitGroup

	for range callers {
		wg.Go(func() {
			if res, err := s.Claim(t.Context(), newClaim()); err != nil || !res.Applied {
				t.Errorf("a claim returned %+v, %v", res, err)
			}
		})
	}

	wg.Wait()

	if n := proxy.RoundTrips(); n > callers/2 {
		t.Errorf("%d claims took %d round trips", callers, n)
	}
}

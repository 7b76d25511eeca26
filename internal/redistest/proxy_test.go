//go:build unix

package redistest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// dial returns a client that sends each command once, unless change allows retries.
func dial(t *testing.T, proxy *Proxy, change ...func(o *redis.Options)) *redis.Client {
	t.Helper()

	const generous = servertest.Patience

	options := &redis.Options{
		Addr: proxy.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true,
		DialTimeout: generous, ReadTimeout: generous, WriteTimeout: generous, PoolTimeout: generous,
	}
	for _, f := range change {
		f(options)
	}

	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })

	return client
}

// retrying makes a client retry failed commands soon.
func retrying(o *redis.Options) {
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 3, time.Millisecond, time.Millisecond
}

// holds checks the value of a key, over a direct connection. Empty means that there is none.
func holds(t *testing.T, s *Server, key, want string) {
	t.Helper()

	got, err := s.Client().Get(t.Context(), key).Result()
	if got != want || err != nil && !errors.Is(err, redis.Nil) {
		t.Errorf("%s is %q, want %q; %v", key, got, want, err)
	}
}

func TestAServerThatDiesIsGoneForTheClientToo(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	proxy := NewProxy(t, s.Addr())
	client := dial(t, proxy)

	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}

	s.Kill()

	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Error("the server is dead and answers")
	}

	s.Restart()

	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the server lives again: %v", err)
	}
}

func TestCommandsAndRoundTripsAreCounted(t *testing.T) {
	t.Parallel()

	for _, protocol := range []int{2, 3} {
		proxy := NewProxy(t, Standalone(t).Addr())
		client := dial(t, proxy, func(o *redis.Options) { o.Protocol = protocol })

		if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}

		got := proxy.Commands()
		if len(got) != 1 || got[0].Name != "set" || !slices.Equal(got[0].Args, []string{"k", "v"}) ||
			got[0].Server != proxy.line.Target() || got[0].Fault != Passed {
			t.Errorf("a new connection and one command were seen as %v", got)
		}

		if _, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for range 200 {
				p.Get(t.Context(), "k")
			}

			return nil
		}); err != nil {
			t.Fatal(err)
		}

		if err := redis.NewScript("return {1, {2}}").Run(t.Context(), client, nil).Err(); err != nil {
			t.Fatal(err)
		}

		// The script is sent again with its text.
		if n, trips := len(proxy.Commands()), proxy.RoundTrips(); n != 203 || trips != 4 {
			t.Errorf("%d commands in %d round trips, want 203 in 4", n, trips)
		}

		proxy.Reset()

		if n, trips := len(proxy.Commands()), proxy.RoundTrips(); n != 0 || trips != 0 {
			t.Errorf("%d commands in %d round trips are left", n, trips)
		}
	}
}

func TestSubscribersGetTheirMessages(t *testing.T) {
	t.Parallel()

	for _, protocol := range []int{2, 3} {
		s := Standalone(t)
		proxy := NewProxy(t, s.Addr())

		sub := dial(t, proxy, func(o *redis.Options) { o.Protocol = protocol }).Subscribe(t.Context(), "a", "b")
		t.Cleanup(func() { sub.Close() })

		for range 2 {
			if _, err := sub.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		if err := s.Client().Publish(t.Context(), "b", "hello").Err(); err != nil {
			t.Fatal(err)
		}

		if got, err := sub.ReceiveMessage(t.Context()); err != nil || got.Payload != "hello" {
			t.Errorf("got %v, %v", got, err)
		}

		// A message was not counted as a reply.
		lost := proxy.Next(LostReply, Named("ping"))

		if err := s.Client().Publish(t.Context(), "a", "again").Err(); err != nil {
			t.Fatal(err)
		}

		if err := sub.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}

		lost.Wait()

		if got, err := sub.ReceiveMessage(t.Context()); err != nil || got.Payload != "again" {
			t.Errorf("got %v, %v", got, err)
		}
	}
}

//go:build unix

package redistest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

func TestAServerForgetsWhenItIsKilled(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	addr, client := s.Addr(), s.Client()

	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}

	s.Kill()

	if err := client.Get(t.Context(), "k").Err(); err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("the killed server answers: %v", err)
	}

	s.Restart()

	if err := client.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("reading after the restart: %v, want that there is nothing", err)
	}

	if s.Addr() != addr {
		t.Errorf("it is at %s, was at %s", s.Addr(), addr)
	}
}

func TestAPersistentServerRemembers(t *testing.T) {
	t.Parallel()

	s := Standalone(t, "--appendonly", "yes", "--appendfsync", "always")

	if err := s.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}

	s.Restart()

	if got, err := s.Client().Get(t.Context(), "k").Result(); got != "v" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAPausedServerDoesNotAnswerUntilItIsResumed(t *testing.T) {
	t.Parallel()

	s := Standalone(t)
	s.Pause()

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	if err := s.Client().Ping(ctx).Err(); err == nil {
		t.Error("the paused server answers")
	}

	if s.isAlive() {
		t.Error("the paused server counts as living")
	}

	s.Resume()

	if err := s.Client().Ping(t.Context()).Err(); err != nil {
		t.Errorf("after it was resumed: %v", err)
	}
}

func TestArgumentsOverrideDefaults(t *testing.T) {
	t.Parallel()

	s := Standalone(t, "--maxmemory", "5mb", "--save", "900 1")

	options, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}

	client := redis.NewClient(options)
	defer client.Close()

	got, err := client.ConfigGet(t.Context(), "*").Result()
	if err != nil || got["maxmemory"] != "5242880" || got["save"] != "900 1" {
		t.Errorf("maxmemory %q, save %q, %v", got["maxmemory"], got["save"], err)
	}
}

func TestAPortThatIsTakenIsNoticed(t *testing.T) {
	t.Parallel()

	first := Standalone(t)

	second := newServer(t)
	second.port, second.client = first.port, connect(first.Addr())

	if err := second.run(); !errors.Is(err, servertest.ErrPortTaken) {
		t.Errorf("starting a second server on the port: %v", err)
	}

	if err := first.Client().Ping(t.Context()).Err(); err != nil {
		t.Errorf("the first server: %v", err)
	}
}

func TestAServerThatDoesNotStartReportsWhy(t *testing.T) {
	t.Parallel()

	err := newServer(t, "--no-such-thing", "1").boot()
	if err == nil || !strings.Contains(err.Error(), "no-such-thing") {
		t.Errorf("got %v", err)
	}
}

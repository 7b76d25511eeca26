package redisstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestASweepThatCannotTakeItsTurnFails(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s, err := Open(server.URL(), WithTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	for range 2 { // the second one finds that it is over
		if _, err := s.sweepAll(t.Context(), s.sweepInTurn); err != nil {
			t.Fatal(err)
		}
	}

	if err := server.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.sweepAll(t.Context(), s.sweepInTurn); !errors.Is(err, store.ErrFull) {
		t.Errorf("on a full server a sweep returned %v", err)
	}
}

func TestATurnThatAnotherProcessHasIsNeitherKeptNorGivenBack(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s, err := Open(server.URL(), WithTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	holder := func() string { return server.Client().Get(t.Context(), s.prefix+"sweep:").Val() }
	own := s.newTurn(t.Context(), "", s.client)

	if _, mine, err := own.take(t.Context()); err != nil || !mine || holder() != own.holder {
		t.Fatalf("the turn is taken: %t, %v", mine, err)
	}

	if mine, err := own.keep(t.Context()); err != nil || !mine || holder() != own.holder {
		t.Errorf("the turn is kept: %t, %v", mine, err)
	}

	other := s.newTurn(t.Context(), "", s.client)
	if _, mine, err := other.take(t.Context()); err != nil || mine {
		t.Errorf("two processes have the turn: %t, %v", mine, err)
	}

	// It is over before its time.
	if err := own.giveBack(t.Context()); err != nil || holder() != "" {
		t.Errorf("the turn is given back: %q has it, %v", holder(), err)
	}

	if _, mine, err := other.take(t.Context()); err != nil || !mine {
		t.Fatalf("the turn is taken: %t, %v", mine, err)
	}

	if mine, err := own.keep(t.Context()); err != nil || mine || holder() != other.holder {
		t.Errorf("the turn of another process is kept: %t, %v", mine, err)
	}

	if err := own.giveBack(t.Context()); err != nil || holder() != other.holder {
		t.Errorf("the turn of another process is given back: %q has it, %v", holder(), err)
	}
}

// stealing takes the turn away while a page is looked at.
type stealing struct{ server *redis.Client }

func (stealing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (stealing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s stealing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "scan" {
			_ = s.server.Set(ctx, DefaultPrefix+"sweep:", "another process", time.Hour).Err()
		}

		return next(ctx, cmd)
	}
}

func TestASweepThatHasLostItsTurnStops(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	client := redis.NewClient(SetOptions(&redis.Options{Addr: server.Addr()}))
	client.AddHook(stealing{server: server.Client()})
	t.Cleanup(func() { _ = client.Close() })

	s, err := New(client, WithTimeout(10*time.Second), WithoutCheck())
	if err != nil {
		t.Fatal(err)
	}

	if _, err := s.sweepAll(t.Context(), s.sweepInTurn); err != nil {
		t.Fatal(err)
	}

	if n := server.Client().Exists(t.Context(), DefaultPrefix+"swept:").Val(); n != 0 {
		t.Error("it has noted its position")
	}

	if holder := server.Client().Get(t.Context(), DefaultPrefix+"sweep:").Val(); holder != "another process" {
		t.Errorf("%q has the turn", holder)
	}
}

func TestATurnIsOnTheServerThatItIsAbout(t *testing.T) {
	t.Parallel()

	client := redis.NewClusterClient(SetClusterOptions(&redis.ClusterOptions{Addrs: redistest.NewCluster(t).Addrs()}))
	t.Cleanup(func() { _ = client.Close() })

	s, err := New(client, WithTimeout(10*time.Second), WithoutCheck())
	if err != nil {
		t.Fatal(err)
	}

	if err := client.ForEachMaster(t.Context(), func(ctx context.Context, master *redis.Client) error {
		turn := s.newTurn(ctx, master.Options().Addr, master)

		for _, name := range []string{turn.name, turn.place} {
			if at, err := client.MasterForKey(ctx, name); err != nil || at != master {
				t.Errorf("%s is elsewhere, %v", name, err)
			}
		}

		return nil
	}); err != nil {
		t.Error(err)
	}
}

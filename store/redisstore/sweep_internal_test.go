package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestASweepThatCannotTakeItsTurnFails(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s := opened(t, server)

	for range 2 { // the second one finds that it is over
		if _, err := s.sweepAll(t.Context(), s.sweepInTurn); err != nil {
			t.Fatal(err)
		}
	}

	if err := server.Client().ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.sweepAll(t.Context(), s.sweepInTurn); !refusesWrites(err) {
		t.Errorf("on a server that refuses writes a sweep returned %v", err)
	}
}

func TestF41ASweepOfAFullServerTakesItsTurnAndFindsRecords(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s := opened(t, server)

	blind := opened(t, server, WithoutIndex())

	claim := store.Claim{Key: store.Key{1}, Token: store.Token{1}, Lease: time.Hour, MaxRun: time.Hour, Retention: time.Hour}
	if res, err := blind.Claim(t.Context(), claim); err != nil || !res.Applied {
		t.Fatalf("a claim: %+v, %v", res, err)
	}

	if err := server.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}

	if swept, err := s.sweepAll(t.Context(), s.sweepInTurn); err != nil || swept.Found != 1 {
		t.Errorf("on a full server a sweep has done %+v, %v", swept, err)
	}

	if place := server.Client().Get(t.Context(), s.prefix+"swept:").Val(); place != sweepOver {
		t.Errorf("the sweep is at %q", place)
	}
}

func TestASweepThatEndsEarlyGivesItsTurnBack(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s := opened(t, server)

	failed := errors.New("the page fails")

	for name, ends := range map[string]func(cancel context.CancelFunc) error{
		"its context": func(cancel context.CancelFunc) error { cancel(); return nil },
		"an error":    func(context.CancelFunc) error { return failed },
	} {
		ctx, cancel := context.WithCancel(t.Context())

		client := redis.NewClient(SetOptions(&redis.Options{Addr: server.Addr()}))
		client.AddHook(scanning(func() error { return ends(cancel) }))

		err := s.sweepInTurn(ctx, "", &serverSweep{store: s, server: client})

		cancel()
		_ = client.Close()

		if err == nil {
			t.Errorf("%s: the sweep has not ended early", name)
		}

		if holder := server.Client().Get(t.Context(), s.prefix+"sweep:").Val(); holder != "" {
			t.Errorf("%s: the turn is not given back", name)
		}
	}
}

// scanning is called instead of a scan if it returns an error, and before it otherwise.
type scanning func() error

func (scanning) DialHook(next redis.DialHook) redis.DialHook { return next }

func (scanning) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (s scanning) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Name() == "scan" }) {
			if err := s(); err != nil {
				return err
			}
		}

		return next(ctx, cmds)
	}
}

func TestATurnThatAnotherProcessHasIsNeitherKeptNorGivenBack(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s := opened(t, server)

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

	// The turn ends early.
	if err := own.release(t.Context()); err != nil || holder() != "" {
		t.Errorf("the turn is given back: %q has it, %v", holder(), err)
	}

	if _, mine, err := other.take(t.Context()); err != nil || !mine {
		t.Fatalf("the turn is taken: %t, %v", mine, err)
	}

	if mine, err := own.keep(t.Context()); err != nil || mine || holder() != other.holder {
		t.Errorf("the turn of another process is kept: %t, %v", mine, err)
	}

	if err := own.release(t.Context()); err != nil || holder() != other.holder {
		t.Errorf("the turn of another process is given back: %q has it, %v", holder(), err)
	}
}

// stealing takes the turn away while a page is read.
type stealing struct{ server *redis.Client }

func (stealing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (stealing) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (s stealing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Name() == "scan" }) {
			_ = s.server.Set(ctx, DefaultPrefix+"sweep:", "another process", time.Hour).Err()
		}

		return next(ctx, cmds)
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

// After a restart, the server's SCAN has another order, so that an old cursor would leave out keys.
func TestASweepBeginsAgainIfTheServerHasRestartedOrIsAnotherOne(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	s := opened(t, server)

	const claims = 500

	blind := opened(t, server, WithoutIndex())

	for i := range claims {
		claim := store.Claim{Token: store.Token{1}, Lease: time.Hour, MaxRun: time.Hour, Retention: time.Hour}
		claim.Key[0], claim.Key[1] = byte(i), byte(i>>8)

		if res, err := blind.Claim(t.Context(), claim); err != nil || !res.Applied {
			t.Fatalf("a claim: %+v, %v", res, err)
		}
	}

	begin := serverSweep{store: s, server: s.client}

	first, isLast, err := begin.page(t.Context(), position{})
	if err != nil || isLast || first.run == "" || first.cursor == 0 || positionOf(first.String()) != first {
		t.Fatalf("the first page: %v, %t, %v", first, isLast, err)
	}

	for name, at := range map[string]string{
		"another run":          strings.Repeat("0", len(first.run)) + " " + strconv.FormatUint(first.cursor, 10),
		"a run that is hidden": strconv.FormatUint(first.cursor, 10),
	} {
		sweep := serverSweep{store: s, server: s.client}

		for next, isLast := positionOf(at), false; !isLast; {
			if next, isLast, err = sweep.page(t.Context(), next); err != nil {
				t.Fatal(err)
			}
		}

		if sweep.done.Records < claims {
			t.Errorf("%s: it has looked at %d records of %d", name, sweep.done.Records, claims)
		}
	}
}

package redisstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// settled leaves some records that are settled, and nothing in the index.
func settled(t *testing.T, s *redisstore.Store, records int) {
	t.Helper()

	for i := range records {
		claim := newClaim()
		begun := start(t, s, claim)

		if i%2 == 0 {
			res, err := s.Release(t.Context(), store.Release{Claim: claim, Receipt: begun.Receipt})
			must(t, res, err)

			continue
		}

		op := completion(claim, "paid")
		op.Receipt = begun.Receipt
		res, err := s.Complete(t.Context(), op)
		must(t, res, err)
	}
}

// unindexedRecords are records that no index has: runs of a process that has died, and outcomes that are unknown.
func unindexedRecords(t *testing.T, url string) (unknown []store.Key) {
	t.Helper()

	dies := open(t, url, redisstore.WithoutIndex())

	for range 10 {
		unknown = append(unknown, overdue(t, dies).Key)
		start(t, dies, newClaim())

		claim := newClaim()
		start(t, dies, claim)

		res, err := dies.Hold(t.Context(), hold(claim))
		must(t, res, err)

		unknown = append(unknown, claim.Key)
	}

	return unknown
}

func TestASweepFindsWhatADyingProcessHasLeftUnindexed(t *testing.T) {
	t.Parallel()

	for name, url := range map[string]func(t *testing.T) string{
		"one server": func(t *testing.T) string { t.Helper(); return redistest.Standalone(t).URL() },
		"a cluster":  func(t *testing.T) string { t.Helper(); return clusterURL(redistest.NewCluster(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			url := url(t)
			s := open(t, url, unindexed, redisstore.WithPrefix("odd[*]?\\:"))
			other := open(t, url, unindexed)

			settled(t, other, 20)

			unknown := unindexedRecords(t, url)
			if keys := listed(t, other); len(keys) != 0 {
				t.Fatalf("%d records are listed before the sweep", len(keys))
			}

			swept, err := other.Sweep(t.Context())
			if err != nil || swept.Found != 30 || swept.Records != 50 {
				t.Errorf("a sweep has done %+v, %v, want 30 of 50 records", swept, err)
			}

			keys := listed(t, other)
			for _, key := range unknown {
				if !slices.Contains(keys, key) {
					t.Errorf("%v is not listed after the sweep", key)
				}
			}

			if again, err := other.Sweep(t.Context()); err != nil || again.Found != 0 {
				t.Errorf("another sweep has done %+v, %v, want nothing to be found", again, err)
			}

			// Another prefix is another store.
			start(t, s, newClaim())

			if swept, err := s.Sweep(t.Context()); err != nil || swept.Records != 1 || swept.Found != 1 {
				t.Errorf("a sweep of another prefix has done %+v, %v", swept, err)
			}
		})
	}
}

func TestF92ASweepFillsTheOtherSetsIfOneCannotBeWritten(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), unindexed)
	blind := open(t, server.URL(), redisstore.WithoutIndex())
	broken := newKey()

	if err := server.Client().Set(t.Context(), indexOf(broken), "something else", 0).Err(); err != nil {
		t.Fatal(err)
	}

	held(t, blind, broken)

	found := int64(0)

	for range 300 { // several pages
		key := newKey()
		held(t, blind, key)

		if indexOf(key) != indexOf(broken) {
			found++
		}
	}

	swept, err := s.Sweep(t.Context())
	if swept.Found != found || err == nil || strings.Count(err.Error(), indexOf(broken)) != 1 {
		t.Errorf("a sweep has done %+v, want %d to be found and one error that names the set, not %v", swept, found, err)
	}
}

func TestF92ASweepFillsAnIndexThatHadToBeRemoved(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	claim := newClaim()

	if err := server.Client().Set(t.Context(), indexOf(claim.Key), "something else", 0).Err(); err != nil {
		t.Fatal(err)
	}

	start(t, s, claim)

	res, err := s.Hold(t.Context(), hold(claim))
	must(t, res, err)

	if err := server.Client().Del(t.Context(), indexOf(claim.Key)).Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.Sweep(t.Context()); err != nil {
		t.Error(err)
	}

	if keys := listed(t, s); !slices.Contains(keys, claim.Key) {
		t.Error("the record is not listed after the sweep")
	}
}

func TestASweepReportsARecordThatCannotBeRead(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), unindexed)
	blind := open(t, server.URL(), redisstore.WithoutIndex())

	claim := overdue(t, blind)
	if err := server.Client().SetRange(t.Context(), stored(claim.Key), 10, "damage").Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.Sweep(t.Context()); err != nil {
		t.Error(err)
	}

	// Cleaning leaves its entry, since it cannot be read.
	cleans := open(t, server.URL(), redisstore.WithUnknownRetention(time.Hour), redisstore.WithCleaning())
	next := newClaim()
	next.Key[0] = claim.Key[0]

	score := redis.Z{Member: string(claim.Key[:]), Score: float64(time.Now().Add(-5 * time.Hour).UnixMilli())}
	for _, entry := range []redis.Z{score, {Member: "gone", Score: score.Score}} {
		if err := server.Client().ZAdd(t.Context(), indexOf(claim.Key), entry).Err(); err != nil {
			t.Fatal(err)
		}
	}

	start(t, cleans, next)
	eventually(t, "another entry is removed", func() bool {
		return server.Client().ZScore(t.Context(), indexOf(claim.Key), "gone").Err() != nil
	})

	named := false

	for one, err := range s.ListUnknown(t.Context()) {
		named = named || one.Key == claim.Key && errors.Is(err, store.ErrUnreadable)
	}

	if !named {
		t.Error("a list does not name the record")
	}
}

// running lets a store sweep in the background.
func running(t *testing.T, s *redisstore.Store) (stop func()) {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())

	var wg sync.WaitGroup

	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run returned %v", err)
		}
	})

	return func() {
		cancel()
		wg.Wait()
	}
}

// scans are the cursors that a client has scanned from.
func scans(plan *redistest.Plan) (cursors []string) {
	for _, command := range plan.Commands() {
		if command.Name == "scan" {
			cursors = append(cursors, command.Args[0])
		}
	}

	return cursors
}

func TestProcessesSweepInTurnsAndOneContinuesWhereAnotherHasStopped(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	first, second := redistest.NewProxy(t, server.Addr()), redistest.NewProxy(t, server.Addr())
	sweeper := func(proxy *redistest.Proxy, pause time.Duration) *redisstore.Store {
		return open(t, proxy.URL(), unindexed,
			redisstore.WithSweepPace(10, pause, time.Hour, 300*time.Millisecond))
	}
	stops, goesOn := sweeper(first, time.Hour), sweeper(second, time.Millisecond)

	settled(t, goesOn, 100)
	unindexedRecords(t, server.URL())

	stop := running(t, stops)

	// It has looked at one page, and waits for an hour. Its turn is over long before.
	eventually(t, "a page has been looked at", func() bool {
		return server.Client().Exists(t.Context(), redisstore.DefaultPrefix+"swept:").Val() == 1
	})
	stop()

	position := server.Client().Get(t.Context(), redisstore.DefaultPrefix+"swept:").Val()

	stop = running(t, goesOn)

	eventually(t, "the sweep is over", func() bool {
		return server.Client().Get(t.Context(), redisstore.DefaultPrefix+"swept:").Val() == "over"
	})

	if cursors := scans(second.Plan); len(cursors) == 0 || !strings.HasSuffix(position, " "+cursors[0]) {
		t.Errorf("it began at %v, want %s", cursors, position)
	}

	second.Reset()
	eventually(t, "it tries to take its turn", func() bool { return len(second.Commands()) > 2 })
	stop()

	if cursors := scans(second.Plan); len(cursors) != 0 {
		t.Errorf("it has begun again at once: %v", cursors)
	}
}

func TestRunAndSweepNeedAnIndex(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL(), redisstore.WithoutIndex())

	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "WithoutIndex") {
		t.Errorf("Run returned %v", err)
	}

	if _, err := s.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "WithoutIndex") {
		t.Errorf("Sweep returned %v", err)
	}
}

func TestASweepThatMayNotReadRecordsFails(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	needed := documented(t)
	allow(t, []*redistest.Server{server}, "sweeper", needed.keys,
		slices.DeleteFunc(slices.Clone(needed.commands), func(rule string) bool { return rule == "+evalsha" }))

	s := open(t, strings.Replace(server.URL(), "://", "://sweeper:secret@", 1), unindexed)
	unindexedRecords(t, server.URL())

	if swept, err := s.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "NOPERM") || swept.Found != 0 {
		t.Errorf("a sweep that may not read a record has done %+v, %v", swept, err)
	}
}

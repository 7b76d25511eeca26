package redisstore_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// The caller of a list settles a record, or others are settled meanwhile: their entries leave the index.
func TestEveryRecordIsListedWhileOthersLeaveTheIndex(t *testing.T) {
	t.Parallel()

	const records = 250

	for name, settles := range map[string]func(listed int) (from, to int){
		"none is settled":        func(int) (from, to int) { return 0, 0 },
		"each when it is listed": func(listed int) (from, to int) { return listed - 1, listed },
		"those of a page when it ends": func(listed int) (from, to int) {
			if listed%100 != 0 {
				return 0, 0
			}

			return listed - 100, listed
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
			s := through(t, proxy)
			all := unknown(t, s, records)

			proxy.Reset()

			var found []store.Key

			for one, err := range s.ListUnknown(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}

				found = append(found, one.Key)

				from, to := settles(len(found))
				for _, key := range found[from:to] {
					res, err := s.Complete(t.Context(), store.Completion{
						Key: key, Token: lookup(t, s, key).Record.Token, Outcome: []byte("found"),
					})
					must(t, res, err)
				}
			}

			if name == "none is settled" && proxy.RoundTrips() != 3+3+1 {
				t.Errorf("the list took %d round trips, want one for each of 3 pages, one for their records, and one for the script",
					proxy.RoundTrips())
			}

			byKey := func(a, b store.Key) int { return bytes.Compare(a[:], b[:]) }
			slices.SortFunc(found, byKey)
			slices.SortFunc(all, byKey)

			if !slices.Equal(found, all) {
				t.Errorf("%d records are listed, want each of %d once", len(found), len(all))
			}
		})
	}
}

// unknown makes records of one index with unknown outcomes, many at the same time, and returns their keys.
func unknown(t *testing.T, s *redisstore.Store, records int) []store.Key {
	t.Helper()

	keys := make([]store.Key, records)
	for i := range keys {
		keys[i] = newKey()
		keys[i][0] = 7
	}

	// The first and the last that there can be.
	keys[0] = store.Key{7}
	keys[1] = store.Key(append([]byte{7}, bytes.Repeat([]byte{0xff}, len(store.Key{})-1)...))

	for _, key := range keys {
		claim := claimOn(key)
		start(t, s, claim)

		res, err := s.Hold(t.Context(), hold(claim))
		must(t, res, err)
	}

	return keys
}

func TestAListOfManyRunsAndNoneUnknownIsOneRoundTrip(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)

	for range 500 {
		start(t, s, newClaim())
	}

	flush(t, s)
	proxy.Reset()

	if keys := listed(t, s); len(keys) != 0 {
		t.Errorf("%d records are listed", len(keys))
	}

	if n := proxy.RoundTrips(); n != 1 {
		t.Errorf("a list took %d round trips, want 1", n)
	}
}

// A record whose entry is about to be dropped may be claimed again at any time.
func TestARunThatBeginsWhileTheIndexIsCleanedIsNotForgotten(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	blind := open(t, server.URL(), redisstore.WithoutIndex())

	client := &watched{Client: redis.NewClient(patient(redis.Options{Addr: server.Addr()}))}
	t.Cleanup(func() { _ = client.Close() })

	lister, err := redisstore.New(client, redisstore.WithTimeout(generous))
	if err != nil {
		t.Fatal(err)
	}

	listed(t, lister) // the scripts are loaded

	// The indexes are read, then the record, and then its entry is dropped.
	const moments = 3

	for moment := 1; moment <= moments; moment++ {
		// The record is settled, and its entry stays behind.
		claim := overdue(t, s)
		flush(t, s)

		res, err := blind.Release(t.Context(), release(claim))
		must(t, res, err)

		trips := 0
		begin := func() {
			trips++
			if trips == moment {
				again := claimOn(claim.Key)
				again.Fence = 1
				start(t, s, again)
				flush(t, s)
			}
		}

		client.before.Store(&begin)
		listed(t, lister)
		client.before.Store(nil)

		if trips < moment {
			t.Fatalf("a list took %d round trips, want %d", trips, moments)
		}

		if n := entries(t, server); n != 1 {
			t.Fatalf("before round trip %d of %d: %d entries, want that of the run", moment, trips, n)
		}

		if err := server.Client().FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

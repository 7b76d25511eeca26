package redisstore_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// watched is a client that lets something happen before each of its commands.
type watched struct {
	*redis.Client

	before atomic.Pointer[func()]
}

func (w *watched) Process(ctx context.Context, cmd redis.Cmder) error {
	if before := w.before.Load(); before != nil {
		(*before)()
	}

	return w.Client.Process(ctx, cmd)
}

// entries is how many records the indexes have.
func entries(t *testing.T, server *redistest.Server) int {
	t.Helper()

	n := 0

	indexes, err := server.Client().Keys(t.Context(), redisstore.DefaultPrefix+"{??}").Result()
	if err != nil {
		t.Fatal(err)
	}

	for _, index := range indexes {
		n += int(server.Client().ZCard(t.Context(), index).Val())
	}

	return n
}

func TestTheIndexHoldsWhatIsNotSettledAndNothingElse(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithTimeout(generous))

	for _, op := range operations() {
		claim := op.prepare(t, s)
		res, err := op.run(t.Context(), s, claim)
		must(t, res, err)

		want := 0
		if op.state == store.Running || op.state == store.Unknown {
			want = 1
		}

		if got := entries(t, server); got != want {
			t.Errorf("%s: %d entries, want %d", op.name, got, want)
		}

		if err := server.Client().FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEntryWhoseRecordIsGoneOrSettledIsDropped(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithTimeout(generous))
	blind := open(t, server.URL(), redisstore.WithTimeout(generous), redisstore.WithoutIndex())

	leaveAnEntryBehind(t, server.Client())

	junk := stored(newKey())[:len(redisstore.DefaultPrefix)+len("{7f}")]
	if err := server.Client().ZAdd(t.Context(), junk, redis.Z{Member: "junk"}).Err(); err != nil {
		t.Fatal(err)
	}

	settled, kept := newClaim(), overdue(t, s)
	start(t, s, settled)

	res, err := blind.Complete(t.Context(), completion(settled, "paid"))
	must(t, res, err)

	found := 0

	for listed, err := range s.ListUnknown(t.Context()) {
		if err != nil || listed.Key != kept.Key {
			t.Errorf("found %v, %v", listed.Key, err)
		}

		found++
	}

	if n := entries(t, server); found != 1 || n != 1 {
		t.Errorf("%d records were found, %d entries are left", found, n)
	}
}

// Who is told of a record settles it, or somebody else settles others meanwhile: their entries leave the index.
func TestEveryRecordIsListedWhileOthersLeaveTheIndex(t *testing.T) {
	t.Parallel()

	const (
		records = 250
		pages   = 3 // of 100 entries
		indexes = 256
	)

	for name, settles := range map[string]func(all []store.Key, told int) []store.Key{
		"nobody settles any":   func([]store.Key, int) []store.Key { return nil },
		"each when it is told": func(all []store.Key, told int) []store.Key { return all[told-1 : told] },
		"those of a page when it ends": func(all []store.Key, told int) []store.Key {
			if told%100 != 0 {
				return nil
			}

			return all[told-100 : told]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
			s := through(t, proxy)
			all := unknown(t, s, records)

			proxy.Reset()

			var found []store.Key

			for listed, err := range s.ListUnknown(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}

				found = append(found, listed.Key)

				for _, key := range settles(all, len(found)) {
					res, err := resolveCompleted(t.Context(), s, store.Claim{Key: key, Token: lookup(t, s, key).Record.Token})
					if err != nil || res.Record.State != store.Completed {
						t.Fatalf("the record is %v, %v", res.Record.State, err)
					}
				}
			}

			if !slices.Equal(found, all) {
				t.Errorf("%d records are listed, want all of %d in their order", len(found), len(all))
			}

			if n := strings.Count(names(proxy.Plan), "zrange"); n != pages+indexes-1 {
				t.Errorf("%d pages were read, want %d", n, pages+indexes-1)
			}
		})
	}
}

// unknown makes records of one index whose outcome is unknown, and returns their keys in their order.
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

	slices.SortFunc(keys, func(a, b store.Key) int { return bytes.Compare(a[:], b[:]) })

	return keys
}

// A record whose entry is about to be dropped may be claimed again at any time.
func TestARunThatBeginsWhileTheIndexIsCleanedIsNotForgotten(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithTimeout(generous))
	blind := open(t, server.URL(), redisstore.WithTimeout(generous), redisstore.WithoutIndex())

	client := &watched{Client: redis.NewClient(&redis.Options{Addr: server.Addr()})}
	t.Cleanup(func() { _ = client.Close() })

	lister, err := redisstore.New(client, redisstore.WithTimeout(generous))
	if err != nil {
		t.Fatal(err)
	}

	// The first index is read, then the record, and then its entry is dropped.
	for moment := 1; moment <= 4; moment++ {
		// It is settled, and its entry is left behind.
		claim := newClaim()
		claim.Key[0] = 0
		start(t, s, claim)

		res, err := blind.Release(t.Context(), release(claim))
		must(t, res, err)

		commands := 0
		begin := func() {
			commands++
			if commands == moment {
				again := claimOn(claim.Key)
				again.Fence = 1
				start(t, s, again)
			}
		}

		client.before.Store(&begin)

		for _, err := range lister.ListUnknown(t.Context()) {
			if err != nil {
				t.Error(err)
			}
		}

		client.before.Store(nil)

		if n := entries(t, server); n != 1 {
			t.Fatalf("before command %d of %d: %d entries, want that of the run", moment, commands, n)
		}

		if err := server.Client().FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

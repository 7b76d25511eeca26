package redisstore_test

import (
	"context"
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
	s := open(t, server.URL(), redisstore.WithTimeout(unhurried))

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
	s := open(t, server.URL(), redisstore.WithTimeout(unhurried))
	blind := open(t, server.URL(), redisstore.WithTimeout(unhurried), redisstore.WithoutIndex())

	leaveAnEntryBehind(t, server.Client())

	junk := stored(newKey())[:len(redisstore.DefaultPrefix)+len("{7f}")]
	if err := server.Client().ZAdd(t.Context(), junk, redis.Z{Score: 1, Member: "junk"}).Err(); err != nil {
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

// A record whose entry is about to be dropped may be claimed again at any time.
func TestARunThatBeginsWhileTheIndexIsCleanedIsNotForgotten(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithTimeout(unhurried))
	blind := open(t, server.URL(), redisstore.WithTimeout(unhurried), redisstore.WithoutIndex())

	client := &watched{Client: redis.NewClient(&redis.Options{Addr: server.Addr()})}
	t.Cleanup(func() { _ = client.Close() })

	lister, err := redisstore.New(client, redisstore.WithTimeout(unhurried))
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

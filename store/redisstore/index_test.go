package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// watched is a client that lets something happen before each of its round trips.
type watched struct {
	*redis.Client

	before atomic.Pointer[func()]
}

func (w *watched) happen() {
	if before := w.before.Load(); before != nil {
		(*before)()
	}
}

func (w *watched) Process(ctx context.Context, cmd redis.Cmder) error {
	w.happen()

	return w.Client.Process(ctx, cmd)
}

func (w *watched) Pipeline() redis.Pipeliner {
	w.happen()

	return w.Client.Pipeline()
}

// indexOf is the name of the index that the record of a key is in.
func indexOf(key store.Key) string {
	return fmt.Sprintf("%sindex:%x", redisstore.DefaultPrefix, key[0]%16)
}

// entries is how many records the indexes have.
func entries(t *testing.T, server *redistest.Server) int {
	t.Helper()

	n := 0

	indexes, err := server.Client().Keys(t.Context(), redisstore.DefaultPrefix+"index:?").Result()
	if err != nil {
		t.Fatal(err)
	}

	for _, index := range indexes {
		n += int(server.Client().ZCard(t.Context(), index).Val())
	}

	return n
}

// The process of a run may die before it has written the entry of the run.
func TestClaimOfAnUnlistedRecordWithAnUnknownOutcomeListsIt(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	dead, alive := open(t, server.URL(), unindexed), open(t, server.URL(), unindexed)

	claim := newClaim()
	claim.Guarantee, claim.Lease = store.AtMostOnce, time.Millisecond
	start(t, dead, claim)

	if got := listed(t, alive); len(got) > 0 {
		t.Fatalf("%v is listed before anybody has found it", got)
	}

	duplicate := claim
	duplicate.Token = store.Token{1}

	eventually(t, "the outcome is unknown", func() bool {
		res, err := alive.Claim(t.Context(), duplicate)
		if err != nil {
			t.Fatal(err)
		}

		return res.Unknown()
	})
	flush(t, alive)

	if got := listed(t, alive); !slices.Equal(got, []store.Key{claim.Key}) {
		t.Errorf("%v is listed, want %v", got, claim.Key)
	}
}

// flush writes the pending entries of the index of a store.
func flush(t *testing.T, s *redisstore.Store) {
	t.Helper()

	if err := redisstore.Flush(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// listed are the keys that a store lists.
func listed(t *testing.T, s *redisstore.Store) (keys []store.Key) {
	t.Helper()

	for one, err := range s.ListUnknown(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}

		keys = append(keys, one.Key)
	}

	return keys
}

func TestTheIndexHoldsWhatIsNotSettledAndNothingElse(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), unindexed)

	for _, op := range operations() {
		for _, early := range []bool{true, false} {
			claim := op.prepare(t, s)
			if early && strings.HasPrefix(op.name, "complete with") {
				flush(t, s) // the run is so long that its entry is written
			}

			res, err := op.run(t.Context(), s, claim)
			must(t, res, err)
			flush(t, s)
			listed(t, s) // drops the entries of records that were settled by others than their owners

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
}

func TestTheEntryOfARunIsWrittenAMomentAfterItsClaimAndNotIfTheRunIsOver(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := open(t, proxy.URL())

	claim := newClaim()
	until := start(t, s, claim).Record.LeaseUntil

	eventually(t, "the entry is written", func() bool { return entries(t, server) == 1 })

	score, err := server.Client().ZScore(t.Context(), indexOf(claim.Key), string(claim.Key[:])).Result()
	if err != nil || int64(score) != until.UnixMilli() {
		t.Errorf("the score is %.0f, %v, want the end of the lease, %d", score, err, until.UnixMilli())
	}

	slow := open(t, proxy.URL(), unindexed)
	proxy.Reset()

	for _, end := range []func(store.Claim, any) (store.Result, error){
		func(c store.Claim, receipt any) (store.Result, error) {
			op := completion(c, "paid")
			op.Receipt = receipt

			return slow.Complete(t.Context(), op)
		},
		func(c store.Claim, receipt any) (store.Result, error) {
			return slow.Release(t.Context(), store.Release{Claim: c, Receipt: receipt})
		},
		func(c store.Claim, _ any) (store.Result, error) {
			return slow.Complete(t.Context(), completion(c, "paid"))
		},
		func(c store.Claim, _ any) (store.Result, error) { return slow.Release(t.Context(), release(c)) },
	} {
		short := newClaim()
		begun := start(t, slow, short)

		res, err := end(short, begun.Receipt)
		must(t, res, err)
	}

	flush(t, slow)

	for _, command := range proxy.Commands() {
		if len(command.Args) > 2 && strings.Contains(command.Args[2], "index:") {
			t.Errorf("a run that is over by then has cost a command on the index: %v", command)
		}
	}
}

func TestEntriesAreWrittenTogether(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)

	for range 200 {
		start(t, s, newClaim())
	}

	proxy.Reset()
	flush(t, s)

	if n := len(proxy.Commands()); n > 16 {
		t.Errorf("200 entries of 16 sets took %d commands", n)
	}
}

// The first store has written no entry of its claim, and will not for an hour.
func TestAHoldAndARenewalWriteTheirEntryAtOnce(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), unindexed)
	other := open(t, server.URL())

	for _, known := range []bool{true, false} {
		claim := newClaim()
		op := hold(claim)

		if begun := start(t, s, claim); known {
			op.Receipt = begun.Receipt
		}

		res, err := s.Hold(t.Context(), op)
		must(t, res, err)

		if keys := listed(t, other); !slices.Contains(keys, claim.Key) {
			t.Errorf("with a receipt %t: a hold is not listed elsewhere", known)
		}

		flush(t, s) // the entry of the claim must not come back

		if keys := listed(t, other); !slices.Contains(keys, claim.Key) {
			t.Errorf("with a receipt %t: a hold is not listed elsewhere later", known)
		}
	}

	claim := newClaim()
	op := renewal(claim)
	op.Receipt = start(t, s, claim).Receipt
	res, err := s.Renew(t.Context(), op)
	want := float64(must(t, res, err).Record.LeaseUntil.UnixMilli())

	eventually(t, "the entry of a renewal is written", func() bool {
		score, err := server.Client().ZScore(t.Context(), indexOf(claim.Key), string(claim.Key[:])).Result()

		return err == nil && score == want
	})
}

func TestAnEntryWhoseRecordIsGoneOrSettledIsDropped(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	blind := open(t, server.URL(), redisstore.WithoutIndex())

	leaveAnEntryBehind(t, server.Client())

	if err := server.Client().ZAdd(t.Context(), indexOf(newKey()), redis.Z{Member: "junk", Score: 1}).Err(); err != nil {
		t.Fatal(err)
	}

	settled, kept := overdue(t, s), overdue(t, s)
	flush(t, s)

	res, err := blind.Complete(t.Context(), completion(settled, strings.Repeat("a large outcome ", 1000)))
	must(t, res, err)

	if keys := listed(t, s); len(keys) != 1 || keys[0] != kept.Key {
		t.Errorf("found %v, want %v", keys, kept.Key)
	}

	if n := entries(t, server); n != 1 {
		t.Errorf("%d entries are left", n)
	}
}

// A record may live longer than the unknown retention: its owner may be alive, or another process keeps records longer.
func TestEntriesOfRecordsThatHaveExpiredGoByThemselvesAndThoseOfLivingOnesStay(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithUnknownRetention(time.Hour), redisstore.WithCleaning())
	blind := open(t, server.URL(), redisstore.WithoutIndex())
	age := func(member string, age time.Duration) redis.Z {
		return redis.Z{Member: member, Score: float64(time.Now().Add(-age).UnixMilli())}
	}

	living, next := newClaim(), newClaim()
	living.MaxRun, next.Key[0] = 10*time.Hour, living.Key[0]
	start(t, blind, living)

	if err := server.Client().ZAdd(t.Context(), indexOf(living.Key),
		age(string(living.Key[:]), 5*time.Hour), age("gone for long", 5*time.Hour), age("a minute old", time.Minute)).Err(); err != nil {
		t.Fatal(err)
	}

	start(t, s, next)
	eventually(t, "the entry of a record that is gone is removed", func() bool {
		return server.Client().ZScore(t.Context(), indexOf(living.Key), "gone for long").Err() != nil
	})
	eventually(t, "the entry of the run is written", func() bool {
		return server.Client().ZScore(t.Context(), indexOf(living.Key), string(next.Key[:])).Err() == nil
	})

	for _, member := range []string{string(living.Key[:]), "a minute old"} {
		if err := server.Client().ZScore(t.Context(), indexOf(living.Key), member).Err(); err != nil {
			t.Errorf("the entry %.12q: %v", member, err)
		}
	}
}

// The set of one of them has a server that does not answer.
func TestASetThatCannotBeWrittenDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := open(t, proxy.URL()+"?read_timeout=1h", redisstore.WithTimeout(2*patience), redisstore.WithoutCheck())
	held, healthy, unknown := newClaim(), newClaim(), newClaim()
	held.Key[0], healthy.Key[0], unknown.Key[0] = 3, 4, 4

	hung := proxy.Every(redistest.Hung, func(c redistest.Command) bool {
		return c.Name == "eval" && slices.Contains(c.Args, indexOf(held.Key))
	})

	start(t, s, held)
	hung.Wait()
	start(t, s, healthy)
	start(t, s, unknown)

	res, err := s.Hold(t.Context(), hold(unknown))
	must(t, res, err)

	eventually(t, "the entries of another set are written", func() bool { return entries(t, server) >= 2 })

	proxy.Down() // so that the write that hangs ends
}

func TestF92SomethingElseUnderTheNameOfAnIndexHarmsNothingButItsList(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	const broken = redisstore.DefaultPrefix + "index:3"

	if err := server.Client().Set(t.Context(), broken, "something else", 0).Err(); err != nil {
		t.Fatal(err)
	}

	// Every operation works on a record of that index.
	for _, op := range operationsOn(func() store.Claim {
		claim := newClaim()
		claim.Key[0] = 3

		return claim
	}) {
		claim := op.prepare(t, s)
		res, err := op.run(t.Context(), s, claim)
		must(t, res, err)
		mustBe(t, s, claim.Key, op.state)
	}

	// Other indexes are listed, and the error names the broken one.
	claim := newClaim()
	claim.Key[0] = 4
	start(t, s, claim)

	res, err := s.Hold(t.Context(), hold(claim))
	must(t, res, err)

	found := false

	var problem error

	for one, err := range s.ListUnknown(t.Context()) {
		problem = errors.Join(problem, err)
		found = found || err == nil && one.Key == claim.Key
	}

	if !found {
		t.Error("a record of another index is not listed")
	}

	if problem == nil || !strings.Contains(problem.Error(), broken) || errors.Is(problem, store.ErrUnreadable) {
		t.Errorf("the error does not name the index: %v", problem)
	}
}

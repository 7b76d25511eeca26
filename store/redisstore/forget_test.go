package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// forgetting removes the record of a claim that was the first of its key.
func forgetting(claim store.Claim, force bool) store.Forgetting {
	return store.Forgetting{Key: claim.Key, Token: claim.Token, Fence: 1, Force: force}
}

// mustForget forgets a record, which must leave nothing behind.
func mustForget(t *testing.T, s *redisstore.Store, server *redistest.Server, claim store.Claim, force bool, what string) {
	t.Helper()

	res, err := s.Forget(t.Context(), forgetting(claim, force))
	if err != nil || !res.Applied || res.Record.State != store.Absent || res.Now.IsZero() {
		t.Errorf("%s: forgetting returned %+v, %v", what, res, err)
	}

	if n := server.Client().Exists(t.Context(), stored(claim.Key)).Val(); n != 0 {
		t.Errorf("%s: the record is still there", what)
	}

	if err := server.Client().ZScore(t.Context(), indexOf(claim.Key), string(claim.Key[:])).Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("%s: the index still has the record: %v", what, err)
	}
}

func TestAForgottenRecordLeavesNothingBehindAndItsKeyIsFree(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	all := specimens(t, s)
	all["RUNNING, lease ended"] = overdue(t, s)
	all["absent"] = newClaim()

	for name, claim := range all {
		isAlive := strings.HasPrefix(name, "RUNNING, f") || strings.HasPrefix(name, "RUNNING, r") || name == "UNKNOWN"
		before := lookup(t, s, claim.Key).Record

		if isAlive {
			res, err := s.Forget(t.Context(), forgetting(claim, false))
			if err != nil || res.Applied || !sameRecord(&res.Record, &before) {
				t.Errorf("%s: forgetting while the owner may be alive returned %+v, %v", name, res, err)
			}
		}

		mustForget(t, s, server, claim, isAlive, name)
		mustForget(t, s, server, claim, false, name+", again")
		start(t, s, claimOn(claim.Key))
	}
}

func TestARecordThatIsNotTheNamedOneIsNotForgotten(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL())

	for name, claim := range specimens(t, s) {
		before := lookup(t, s, claim.Key).Record

		token, fence := forgetting(claim, true), forgetting(claim, true)
		token.Token, fence.Fence = newToken(), 2

		for _, op := range []store.Forgetting{token, fence} {
			res, err := s.Forget(t.Context(), op)
			if err != nil || res.Applied || !sameRecord(&res.Record, &before) {
				t.Errorf("%s: forgetting returned %+v, %v", name, res, err)
			}
		}

		mustBe(t, s, claim.Key, before.State)
	}
}

func TestF36ARecordThatCannotBeReadIsForgottenByForceAlone(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	client := server.Client()

	for name, claim := range specimens(t, s) {
		whole := client.Get(t.Context(), stored(claim.Key)).Val()

		damages := map[string]string{
			"empty": "", "newer": "\x02" + whole[1:], "cut short": whole[:40], "of another key": whole,
		}

		for _, i := range []int{0, 3, 6, 7, 20, 60, 80} {
			damaged := []byte(whole)
			damaged[i] ^= 1
			damages[fmt.Sprintf("byte %d", i)] = string(damaged)
		}

		for damage, data := range damages {
			what := name + ", " + damage

			victim := claim
			if data == whole {
				victim = newClaim()
			}

			if err := client.Set(t.Context(), stored(victim.Key), data, time.Hour).Err(); err != nil {
				t.Fatal(err)
			}

			res, err := s.Forget(t.Context(), forgetting(victim, false))
			if !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) || res.Applied {
				t.Errorf("%s: without Force it is %+v, %v", what, res, err)
			}

			if got := client.Get(t.Context(), stored(victim.Key)).Val(); got != data {
				t.Errorf("%s: it was %x, and is %x", what, data, got)
			}

			victim.Token = newToken() // it is unknown
			mustForget(t, s, server, victim, true, what)
		}
	}

	list := newClaim()
	if err := client.RPush(t.Context(), stored(list.Key), "a").Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.Forget(t.Context(), forgetting(list, false)); !errors.Is(err, store.ErrUnreadable) {
		t.Errorf("a list without Force: %v", err)
	}

	mustForget(t, s, server, list, true, "a list")
}

func TestForgettingTakesThreeRoundTripsAndWorksOnAFullServer(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	proxy := redistest.NewProxy(t, server.Addr())
	s := through(t, proxy)

	mustForget(t, s, server, overdue(t, s), false, "a warm-up")

	claim := overdue(t, s)
	full := overdue(t, s)

	proxy.Reset()
	mustForget(t, s, server, claim, false, "a record")

	if n, trips := len(proxy.Commands()), proxy.RoundTrips(); n != 3 || trips != 3 {
		t.Errorf("forgetting took %d commands in %d round trips, want 3 in 3", n, trips)
	}

	fillUp(t, server)

	if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}

	mustForget(t, s, server, full, false, "a record of a full server")
}

// beforeRemoval is a store that lets something happen once, before the second step of a forgetting.
func beforeRemoval(t *testing.T, server *redistest.Server, happen func()) *redisstore.Store {
	t.Helper()

	client := &watched{Client: redis.NewClient(patient(redis.Options{Addr: server.Addr()}))}
	t.Cleanup(func() { _ = client.Close() })

	s, err := redisstore.New(client, redisstore.WithTimeout(generous))
	if err != nil {
		t.Fatal(err)
	}

	mustForget(t, s, server, overdue(t, s), false, "a warm-up")

	commands := 0
	before := func() {
		commands++
		if commands == 2 {
			happen()
		}
	}

	client.before.Store(&before)

	return s
}

func TestARecordThatChangesWhileItIsForgottenIsDecidedOnAgain(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	other := open(t, server.URL())

	for name, tt := range map[string]struct {
		happens func(ctx context.Context, claim store.Claim) (store.Result, error)
		applied bool
		left    store.State
	}{
		"its owner completes it": {func(ctx context.Context, claim store.Claim) (store.Result, error) {
			return other.Complete(ctx, completion(claim, "paid"))
		}, true, store.Absent},
		"its owner renews it": {func(ctx context.Context, claim store.Claim) (store.Result, error) {
			return other.Renew(ctx, renewal(claim)) // and the fence rises
		}, false, store.Running},
		"it is forgotten": {func(ctx context.Context, claim store.Claim) (store.Result, error) {
			return other.Forget(ctx, forgetting(claim, true))
		}, true, store.Absent},
		"it is forgotten, and the key is used again": {func(ctx context.Context, claim store.Claim) (store.Result, error) {
			if res, err := other.Forget(ctx, forgetting(claim, true)); err != nil || !res.Applied {
				return res, err
			}

			return other.Claim(ctx, claimOn(claim.Key))
		}, false, store.Running},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			claim := overdue(t, other)
			s := beforeRemoval(t, server, func() {
				res, err := tt.happens(t.Context(), claim)
				must(t, res, err)
			})

			res, err := s.Forget(t.Context(), forgetting(claim, true))
			if err != nil || res.Applied != tt.applied || res.Record.State != tt.left {
				t.Errorf("forgetting returned %+v, %v", res, err)
			}

			mustBe(t, other, claim.Key, tt.left)
		})
	}
}

func TestAForgettingWhoseRequestOrReplyIsLostIsSentAgain(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	for _, fault := range []redistest.Fault{redistest.LostReply, redistest.LostRequest} {
		for _, script := range []string{redisstore.LookupSHA, redisstore.ForgetSHA} {
			proxy := redistest.NewProxy(t, server.Addr())
			s := through(t, proxy)

			mustForget(t, s, server, overdue(t, s), false, "a warm-up")

			claim := overdue(t, s)
			faulty := proxy.Next(fault, redistest.Named(script))

			mustForget(t, s, server, claim, false, fault.String())
			faulty.Wait()
		}
	}
}

func TestALateCopyOfAForgettingRemovesNoLaterRecord(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)

	for _, op := range []func(store.Claim) (store.Result, error){
		func(c store.Claim) (store.Result, error) { return s.Forget(t.Context(), forgetting(c, true)) }, // loads the scripts
		func(c store.Claim) (store.Result, error) {
			late := proxy.Next(redistest.Late, redistest.Named(redisstore.ForgetSHA))
			defer late.Deliver()

			res, err := s.Forget(t.Context(), forgetting(c, true)) // the client sends it again
			if err != nil || !res.Applied {
				return res, err
			}

			return s.Claim(t.Context(), claimOn(c.Key))
		},
	} {
		claim := newClaim()
		start(t, s, claim)

		res, err := op(claim)
		must(t, res, err)

		if res.Record.State == store.Running {
			mustBe(t, s, claim.Key, store.Running)
		}
	}
}

// Another process starts the new run. It writes its entry after the record is removed and before its entry is removed.
func TestForgettingARecordThatCannotBeReadLeavesTheEntryOfANewRun(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	other := open(t, server.URL(), unindexed)

	client := &watched{Client: redis.NewClient(patient(redis.Options{Addr: server.Addr()}))}
	t.Cleanup(func() { _ = client.Close() })

	s, err := redisstore.New(client, redisstore.WithTimeout(generous))
	if err != nil {
		t.Fatal(err)
	}

	mustForget(t, s, server, overdue(t, s), false, "a warm-up")

	claim := newClaim()
	if err := errors.Join(
		server.Client().Set(t.Context(), stored(claim.Key), "unreadable", time.Hour).Err(),
		server.Client().ZAdd(t.Context(), indexOf(claim.Key), redis.Z{Member: string(claim.Key[:]), Score: 5}).Err(),
	); err != nil {
		t.Fatal(err)
	}

	begun := false
	before := func() {
		if !begun && server.Client().Exists(t.Context(), stored(claim.Key)).Val() == 0 {
			begun = true

			start(t, other, claim)
			flush(t, other)
		}
	}

	client.before.Store(&before)

	res, err := s.Forget(t.Context(), forgetting(claim, true))
	must(t, res, err)
	client.before.Store(nil)

	if !begun {
		t.Fatal("nothing was sent after the record was removed")
	}

	if n := entries(t, server); n != 1 {
		t.Errorf("%d entries, want that of the new run", n)
	}
}

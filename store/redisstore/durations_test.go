package redisstore_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// century is 100 years.
const century = 100 * 365.25 * 24 * time.Hour

func TestF68EveryOptionOutsideItsRangeIsRefusedWithTheRange(t *testing.T) {
	t.Parallel()

	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })

	for name, tt := range map[string]struct {
		option  func(time.Duration) redisstore.Option
		refused []time.Duration
		least   time.Duration
	}{
		"WithTimeout": {
			redisstore.WithTimeout,
			[]time.Duration{math.MinInt64, -century, -1, 0, 1, time.Microsecond, time.Millisecond - 1}, time.Millisecond,
		},
		"WithUnknownRetention": {
			redisstore.WithUnknownRetention,
			[]time.Duration{math.MinInt64, -century, -1, 0, 1, time.Millisecond, time.Minute, time.Hour - 1}, time.Hour,
		},
	} {
		for _, d := range tt.refused {
			_, err := redisstore.New(client, tt.option(d), redisstore.WithoutCheck())
			if want := fmt.Sprintf("%s(%v): give %v or more", name, d, tt.least); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s(%v): the error does not say %q: %v", name, d, want, err)
			}
		}

		for _, d := range []time.Duration{tt.least, tt.least + 1, century, math.MaxInt64} {
			if _, err := redisstore.New(client, tt.option(d), redisstore.WithoutCheck()); err != nil {
				t.Errorf("%s(%v): %v", name, d, err)
			}
		}
	}
}

func TestF68TheLongestTimeoutsWork(t *testing.T) {
	t.Parallel()

	server, cluster := redistest.Standalone(t), redistest.NewCluster(t)

	for _, timeout := range []time.Duration{century, math.MaxInt64} {
		opt := redisstore.WithTimeout(timeout)

		for name, s := range map[string]*redisstore.Store{
			"one server":                      open(t, server.URL(), opt),
			"without batching":                open(t, server.URL(), opt, redisstore.WithoutBatching()),
			"a cluster":                       open(t, clusterURL(cluster), opt),
			"a client that ignores deadlines": with(t, redis.NewClient(patient(redis.Options{Addr: server.Addr()})), opt),
		} {
			if err := life(t.Context(), s, newClaim); err != nil {
				t.Errorf("%s with a timeout of %v: %v", name, timeout, err)
			}

			for _, err := range s.ListUnknown(t.Context()) {
				if err != nil {
					t.Errorf("%s with a timeout of %v lists: %v", name, timeout, err)
				}
			}
		}
	}
}

func TestF68F72EveryUnknownRetentionIsKept(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	for _, d := range []time.Duration{time.Hour, redisstore.DefaultUnknownRetention, century, math.MaxInt64} {
		s := open(t, server.URL(), redisstore.WithUnknownRetention(d))

		if got := s.Capabilities().UnknownRetention; got != d {
			t.Errorf("the store reports an unknown retention of %v, want %v", got, d)
		}

		claim := newClaim()
		claim.Lease, claim.MaxRun = time.Minute, time.Minute

		res := start(t, s, claim)
		mustLast(t, server, claim, res, res.Now.Add(d), fmt.Sprintf("a claim under %v", d))

		res, err := s.Renew(t.Context(), renewal(claim))
		must(t, res, err)
		mustLast(t, server, claim, res, res.Now.Add(d), fmt.Sprintf("a renewal under %v", d))

		res, err = s.Hold(t.Context(), hold(claim))
		must(t, res, err)
		mustLast(t, server, claim, res, res.Now.Add(d), fmt.Sprintf("a hold under %v", d))
	}
}

// mustLast checks that a record expires at a time, as the store answers it and as the server keeps it.
func mustLast(t *testing.T, server *redistest.Server, claim store.Claim, res store.Result, want time.Time, what string) {
	t.Helper()

	if !near(res.Record.ExpiresAt, want) {
		t.Errorf("%s: the record expires at %v, want %v", what, res.Record.ExpiresAt, want)
	}

	// PExpireTime would not do: its durations end in the year 2262.
	at, err := server.Client().Do(t.Context(), "PEXPIRETIME", stored(claim.Key)).Int64()
	if err != nil || at != res.Record.ExpiresAt.UnixMilli() {
		t.Errorf("%s: the server keeps the record until %d, %v; the answer says %d", what, at, err, res.Record.ExpiresAt.UnixMilli())
	}
}

// near reports whether a time is the wanted one, rounded up to milliseconds in at most two places.
func near(got, want time.Time) bool {
	late := got.UnixMilli() - want.UnixMilli()

	return late >= 0 && late <= 2
}

// durations are the ends of the range of every duration of an operation, and some between.
var durations = []time.Duration{
	1, time.Microsecond, time.Millisecond - 1, time.Millisecond, time.Millisecond + 1, time.Hour, century, math.MaxInt64,
}

func TestF68EveryDurationOfAClaimIsKept(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	unknown := s.Capabilities().UnknownRetention

	mustHold := func(what string, res store.Result, want store.Record) {
		t.Helper()

		want.KeepUnsettled(unknown, res.Now)

		got := res.Record
		if !near(got.LeaseUntil, want.LeaseUntil) || !near(got.OwnerAliveUntil, want.OwnerAliveUntil) ||
			!near(got.ExpiresAt, want.ExpiresAt) || got.Retention < want.Retention || got.Retention-want.Retention > time.Millisecond {
			t.Errorf("%s: the record is %+v, want %+v", what, got, want)
		}
	}

	for _, lease := range durations {
		for _, run := range durations {
			claim := newClaim()
			claim.Lease, claim.MaxRun, claim.Retention = lease, run, run
			what := fmt.Sprintf("a lease of %v and a run of %v", lease, run)

			res := start(t, s, claim)
			mustHold(what, res, claim.Apply(store.Record{}, res.Now).Record)

			kept := lookup(t, s, claim.Key).Record
			if !sameRecord(&kept, &res.Record) || !kept.ExpiresAt.Equal(res.Record.ExpiresAt) || kept.Retention != res.Record.Retention {
				t.Errorf("%s: %+v was answered, %+v is kept", what, res.Record, kept)
			}

			// The same again in the slow way, which writes absolute times.
			res, err := s.Release(t.Context(), release(claim))
			must(t, res, err)

			again := claimOn(claim.Key)
			again.Lease, again.MaxRun, again.Retention, again.Fence = lease, run, century, 1
			before := store.Record{State: store.Released, Fence: 1, FirstStart: res.Now, OwnerAliveUntil: res.Record.OwnerAliveUntil}

			if run < unit { // the record of a short retention is gone
				continue
			}

			res = start(t, s, again)
			mustHold(what+", again", res, again.Apply(before, res.Now).Record)
		}
	}
}

func TestF68EveryRetentionIsKeptByWhoeverSettlesTheRecord(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	for _, retention := range durations {
		fresh := func() store.Claim {
			claim := newClaim()
			claim.Retention = retention

			return claim
		}

		for _, op := range operationsOn(fresh) {
			if op.state != store.Completed && op.state != store.Released {
				continue
			}

			claim := op.prepare(t, s)
			what := fmt.Sprintf("%s with a retention of %v", op.name, retention)

			res, err := op.run(t.Context(), s, claim)
			must(t, res, err)

			if rec := &res.Record; !near(rec.ExpiresAt, rec.EndedAt.Add(retention)) || rec.ExpiresAt.Equal(rec.EndedAt) {
				t.Errorf("%s: the record has ended at %v and expires at %v", what, rec.EndedAt, rec.ExpiresAt)
			}

			if got := res.Record.Retention; got < retention || got-retention > time.Millisecond {
				t.Errorf("%s: the record has a retention of %v", what, got)
			}

			if retention >= time.Hour {
				mustLast(t, server, claim, res, res.Record.EndedAt.Add(retention), what)
			}
		}
	}
}

func TestF61ARecordKeepsTheRetentionOfTheClaimThatMadeItsOwner(t *testing.T) {
	t.Parallel()

	const week = 7 * 24 * time.Hour

	s := open(t, redistest.Standalone(t).URL())

	first := overdue(t, s)
	second := claimOn(first.Key)
	second.Fence, second.Retention = 1, week

	if got := start(t, s, second).Record.Retention; got != week {
		t.Errorf("after a takeover the retention is %v, want %v", got, week)
	}

	for name, op := range map[string]func() (store.Result, error){
		"renew": func() (store.Result, error) { return s.Renew(t.Context(), renewal(second)) },
		"hold":  func() (store.Result, error) { return s.Hold(t.Context(), hold(second)) },
	} {
		if res, err := op(); err != nil || res.Record.Retention != week {
			t.Errorf("%s: the retention is %v, %v", name, res.Record.Retention, err)
		}
	}

	res, err := s.Resolve(t.Context(), store.Resolution{
		Key: first.Key, Token: second.Token, Fence: 2, State: store.Completed, Outcome: []byte("found"),
	})
	must(t, res, err)

	kept := lookup(t, s, first.Key).Record
	if life := kept.ExpiresAt.Sub(kept.EndedAt); life != week || kept.Retention != week {
		t.Errorf("the resolved record lives for %v, and its retention is %v", life, kept.Retention)
	}
}

// Rule 8.
func TestATakeoverIsRefusedOnceEitherRetentionIsOver(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL())

	for name, tt := range map[string]struct {
		record, claim time.Duration
		applied       bool
	}{
		"the record's is over": {time.Millisecond, time.Hour, false},
		"the claim's is over":  {time.Hour, time.Millisecond, false},
		"neither is over":      {time.Hour, time.Hour, true},
	} {
		first := newClaim()
		first.Lease, first.MaxRun, first.Retention = time.Millisecond, time.Millisecond, tt.record
		begun := start(t, s, first).Now

		eventually(t, "the retention ends", func() bool { return lookup(t, s, first.Key).Now.Sub(begun) > 2*time.Millisecond })

		second := claimOn(first.Key)
		second.Fence, second.Retention = 1, tt.claim

		if res, err := s.Claim(t.Context(), second); err != nil || res.Applied != tt.applied {
			t.Errorf("%s: a takeover is %t, %v", name, res.Applied, err)
		}
	}
}

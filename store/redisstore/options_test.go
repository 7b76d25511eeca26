package redisstore_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

func TestWhatCannotWorkIsRefusedAtConstruction(t *testing.T) {
	t.Parallel()

	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	ring := redis.NewRing(&redis.RingOptions{})

	t.Cleanup(func() { _ = errors.Join(client.Close(), ring.Close()) })

	prefix := redisstore.WithPrefix

	for name, tt := range map[string]struct {
		client redisstore.Client
		opts   []redisstore.Option
		want   []string
	}{
		"no client": {nil, nil, []string{"client", "Open"}},
		"a ring":    {ring, nil, []string{"ring", "cluster", "Sentinel"}},
		"braces":    {client, []redisstore.Option{prefix("a{b}:")}, []string{"braces", "a{b}:"}},
		"one brace": {client, []redisstore.Option{prefix("a}:")}, []string{"braces"}},
		"all of it": {
			client, []redisstore.Option{prefix("{"), redisstore.WithTimeout(0), redisstore.WithUnknownRetention(0)},
			[]string{"braces", "WithTimeout", "WithUnknownRetention"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := redisstore.New(tt.client, append(tt.opts, redisstore.WithoutCheck())...)
			for _, word := range tt.want {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("the error does not say %q: %v", word, err)
				}
			}
		})
	}
}

// F87: the error about a bad URL names the bad part.
func TestF87AURLThatCannotBeReadIsRefusedWithItsBadPartAndWithoutItsPassword(t *testing.T) {
	t.Parallel()

	for url, want := range map[string]string{
		"":                                       "does not begin with a scheme",
		"redis":                                  "does not begin with a scheme",
		"user:hunter2@localhost:6379":            "does not begin with a scheme",
		"http://user:hunter2@localhost":          "scheme is unknown",
		"amqp+sentinel://user:hunter2@localhost": "scheme is unknown",
		"redis://user:hunter2@localhost:port/0":  "the host or the port is wrong",
		"redis+cluster://user:hunter2@localhost:port":       "the host or the port is wrong",
		"rediss+cluster://user:hunter2@[::1":                "the host or the port is wrong",
		"redis+sentinel://user:hunter2@h:port":              "the host or the port is wrong",
		"redis://user:hunter2@local host":                   "the host or the port is wrong",
		"redis://user:hunter2@localhost/zero":               "not the number of a database",
		"redis://user:hunter2@localhost/0/1":                "not the number of a database",
		"redis://user:hun/ter2@localhost:6379":              "the user or the password has one of the characters / ? #",
		"redis://user:hun#ter2@localhost:6379":              "the user or the password has one of the characters / ? #",
		"redis://user:hun?ter2@localhost:6379/0":            "the user or the password has one of the characters / ? #",
		"redis://user:hun%ter2@localhost:6379/0":            "%25 for %",
		"redis://user:hun ter2@localhost:6379/0":            "must be written as % and two digits",
		"redis+sentinel://:hun^ter2@h:26379":                "must be written as % and two digits",
		"redis://user:hunter2@localhost?pool_size=many":     `option "pool_size" is unknown, or has a wrong value`,
		"redis://user:hunter2@localhost?pool=9&db=1":        `option "pool" is unknown, or has a wrong value`,
		"redis+cluster://user:hunter2@h?addr=i:1&color=red": `option "color" is unknown, or has a wrong value`,
	} {
		s, err := redisstore.Open(url, redisstore.WithoutCheck())
		if err == nil {
			t.Errorf("%q is accepted: %v", url, s)

			continue
		}

		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "redis+sentinel://") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}

		for _, secret := range []string{"hunter2", "hun", "ter2", "user:"} {
			if strings.Contains(strings.ReplaceAll(err.Error(), "redis://user:password@", ""), secret) {
				t.Errorf("%q: the error has %q of it: %v", url, secret, err)
			}
		}
	}
}

func TestStoresWithDifferentPrefixesDoNotSeeEachOther(t *testing.T) {
	t.Parallel()

	url := redistest.Standalone(t).URL()
	one := open(t, url)
	other := open(t, url, redisstore.WithPrefix("payments:onlyonce:"))

	claim := overdue(t, one)
	mustBe(t, other, claim.Key, store.Absent)

	for listed, err := range other.ListUnknown(t.Context()) {
		t.Errorf("found %v, %v", listed.Key, err)
	}

	start(t, other, claim)
}

func TestCloseClosesTheClientOfOpenAndNoOther(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	opened, err := redisstore.Open(server.URL(), redisstore.WithTimeout(generous))
	if err != nil {
		t.Fatal(err)
	}

	if err := opened.Close(); err != nil {
		t.Error(err)
	}

	if _, err := opened.Lookup(t.Context(), newKey()); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}

	given := with(t, redis.NewClient(patient(redis.Options{Addr: server.Addr()})))
	if err := given.Close(); err != nil {
		t.Error(err)
	}

	lookup(t, given, newKey())
}

func TestF72AnUnsettledRecordLivesForTheUnknownRetentionAndNotItsLease(t *testing.T) {
	t.Parallel()

	const life = 5 * time.Hour

	server := redistest.Standalone(t)
	s := open(t, server.URL(), redisstore.WithUnknownRetention(life))

	lives := func(what string, key store.Key) {
		t.Helper()

		if ttl := server.Client().PTTL(t.Context(), stored(key)).Val(); ttl < life-time.Minute || ttl > life {
			t.Errorf("%s lives for %v", what, ttl)
		}

		rec := lookup(t, s, key).Record
		if at := server.Client().PExpireTime(t.Context(), stored(key)).Val(); rec.ExpiresAt.UnixMilli() != at.Milliseconds() {
			t.Errorf("%s expires at %v, the record says %v", what, at, rec.ExpiresAt)
		}
	}

	claim := overdue(t, s)
	lives("a run whose lease has ended", claim.Key)

	renewed := newClaim()
	start(t, s, renewed)

	res, err := s.Renew(t.Context(), renewal(renewed))
	must(t, res, err)
	lives("a renewed run", renewed.Key)

	res, err = s.Hold(t.Context(), hold(renewed))
	must(t, res, err)
	lives("a held run", renewed.Key)

	freed := newClaim()
	start(t, s, freed)

	res, err = s.Release(t.Context(), release(freed))
	must(t, res, err)

	again := claimOn(freed.Key)
	again.Fence = 1
	start(t, s, again)
	lives("a run of a released key", freed.Key)
}

func TestAFenceThatNoRecordCanHaveMatchesNone(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL())
	claim := overdue(t, s)

	for _, fence := range []uint64{1 << 32, 1<<32 + 1, math.MaxUint64} {
		other := claimOn(claim.Key)
		other.Fence = fence

		if res, err := s.Claim(t.Context(), other); err != nil || res.Applied {
			t.Errorf("a claim that expects fence %d: %t, %v", fence, res.Applied, err)
		}

		res, err := s.Resolve(t.Context(), store.Resolution{Key: claim.Key, Token: claim.Token, Fence: fence, State: store.Completed})
		if err != nil || res.Applied {
			t.Errorf("a resolution of fence %d: %t, %v", fence, res.Applied, err)
		}
	}
}

func TestNamesOfEveryLengthAreKeptAndThoseThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)

	for _, n := range []int{0, 1, math.MaxUint16} {
		claim := newClaim()
		claim.Method, claim.ReadableKey = strings.Repeat("m", n), strings.Repeat("k", n)
		start(t, s, claim)

		res, err := s.Renew(t.Context(), renewal(claim))
		must(t, res, err)

		if rec := lookup(t, s, claim.Key).Record; rec.Method != claim.Method || rec.ReadableKey != claim.ReadableKey {
			t.Errorf("names of %d bytes are kept as %d and %d", n, len(rec.Method), len(rec.ReadableKey))
		}
	}

	proxy.Reset()

	for _, change := range []func(*store.Claim){
		func(c *store.Claim) { c.Method = strings.Repeat("m", math.MaxUint16+1) },
		func(c *store.Claim) { c.ReadableKey = strings.Repeat("k", math.MaxUint16+1) },
	} {
		claim := newClaim()
		change(&claim)

		if _, err := s.Claim(t.Context(), claim); !failed(err) {
			t.Errorf("a claim: %v", err)
		}

		if _, err := s.Release(t.Context(), release(claim)); !failed(err) {
			t.Errorf("a release: %v", err)
		}
	}

	if n := len(proxy.Commands()); n != 0 {
		t.Errorf("%d commands were sent", n)
	}
}

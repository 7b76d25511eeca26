package redisstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// fillUp leaves a server no memory.
func fillUp(t *testing.T, server *redistest.Server) {
	t.Helper()

	client := server.Client()
	ballast := strings.Repeat("x", 6<<20)

	if err := errors.Join(
		client.Set(t.Context(), "ballast", ballast, 0).Err(),
		client.ConfigSet(t.Context(), "maxmemory", "5mb").Err(),
	); err != nil {
		t.Fatal(err)
	}

	if err := client.Set(t.Context(), "more", "x", 0).Err(); !redis.IsOOMError(err) {
		t.Fatalf("the server is not full: %v", err)
	}
}

func TestF41AFullServerRefusesNewClaimsAndRecordsWhatHasRun(t *testing.T) {
	t.Parallel()

	for name, flush := range map[string]bool{"scripts are loaded": false, "scripts are not loaded": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			server := redistest.Standalone(t)
			s := open(t, server.URL())

			ready := make(map[string]store.Claim)
			for _, op := range operations() {
				ready[op.name] = op.prepare(t, s)
			}

			fillUp(t, server)

			for _, op := range operations() {
				if flush {
					if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
						t.Fatal(err)
					}
				}

				claim := ready[op.name]
				before := lookup(t, s, claim.Key).Record

				got, err := op.run(t.Context(), s, claim)
				after := lookup(t, s, claim.Key).Record

				if op.name == "claim" || op.name == "takeover" {
					if !errors.Is(err, store.ErrFull) || got.Applied || !sameRecord(&after, &before) {
						t.Errorf("%s: %+v, %v; the record was %+v, and is %+v", op.name, got, err, before, after)
					}

					continue
				}

				must(t, got, err)

				if after.State != op.state {
					t.Errorf("%s: the record is %v", op.name, after.State)
				}
			}
		})
	}
}

func TestF41AClaimWhoseFirstCopyWonBeforeTheServerWasFullHasWon(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	proxy := redistest.NewProxy(t, server.Addr())
	client := redis.NewClient(patient(redis.Options{Addr: proxy.Addr(), MaxRetries: -1}))
	s := with(t, client)
	start(t, s, newClaim())

	claim := newClaim()
	proxy.Next(redistest.LostReply, operating)

	if _, err := s.Claim(t.Context(), claim); !failed(err) {
		t.Fatalf("the reply was not lost: %v", err)
	}

	gone := overdue(t, s)

	fillUp(t, server)

	if res := start(t, s, claim); res.Record.Token != claim.Token || res.Record.Fence != 1 || res.Record.Attempts != 1 {
		t.Errorf("got %+v", res.Record)
	}

	// If its lease has ended meanwhile, it is not certain that nothing changed.
	if res, err := s.Claim(t.Context(), gone); !failed(err) || res.Applied {
		t.Errorf("got %+v, %v", res, err)
	}

	// The change can be undone.
	res, err := s.Release(t.Context(), release(gone))
	must(t, res, err)
}

func TestF41AFullServerStillAnswersDuplicates(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())
	all := specimens(t, s)

	fillUp(t, server)

	for name, claim := range all {
		res, err := s.Claim(t.Context(), claimOn(claim.Key))

		state, _, _ := strings.Cut(name, ",")
		if err != nil || res.Applied || res.Record.State.String() != state || res.Now.IsZero() {
			t.Errorf("a duplicate of %s gets %+v, %v", name, res, err)
		}
	}

	res, err := s.Claim(t.Context(), func() store.Claim {
		claim := claimOn(all["RELEASED"].Key)
		claim.Fence = 1

		return claim
	}())
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("a claim that would run gets %+v, %v", res, err)
	}
}

func TestF42AServerThatEvictsIsRefused(t *testing.T) {
	t.Parallel()

	for _, policy := range []string{"allkeys-lru", "volatile-ttl", "volatile-lfu", "allkeys-random"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()

			server := redistest.Standalone(t, "--maxmemory-policy", policy, "--maxmemory", "100mb")

			refusal := func(err error) {
				t.Helper()

				if err == nil || !strings.Contains(err.Error(), policy) || !strings.Contains(err.Error(), "noeviction") ||
					!strings.Contains(err.Error(), "WithEviction") {
					t.Errorf("the error does not say what to do: %v", err)
				}
			}

			_, err := redisstore.Open(server.URL(), redisstore.WithTimeout(generous))
			refusal(err)

			s := open(t, server.URL(), redisstore.WithoutCheck())
			_, err = s.Check(t.Context())
			refusal(err)

			accepting := open(t, server.URL(), redisstore.WithEviction())
			start(t, accepting, newClaim())

			if err := server.Client().ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err(); err != nil {
				t.Fatal(err)
			}

			if _, err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

const (
	// unit is the lease of runs whose lease a check lets end. It allows for slow machines.
	unit = 200 * time.Millisecond
	// patience is the longest wait of a test. An event that takes longer counts as missing.
	patience = 2 * time.Minute
	// generous is the timeout of operations that no test wants to fail.
	generous = time.Minute
	// silent is the timeout of operations on connections that may be dead.
	silent = 20 * time.Second
)

// open opens a store, which is closed with the test. Its operations have time.
func open(t *testing.T, url string, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()

	if !strings.Contains(url, "_timeout=") {
		separator := "?"
		if strings.Contains(url, "?") {
			separator = "&"
		}

		url += separator + "dial_timeout=1m&read_timeout=1m&write_timeout=1m"
	}

	s, err := redisstore.Open(url, append([]redisstore.Option{redisstore.WithTimeout(generous)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	return s
}

// patient gives a client time for a machine that stands still.
func patient(o redis.Options) *redis.Options {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = generous, generous, generous, generous

	return &o
}

// with makes a store on a client, and closes the client at the end of the test. Its operations have a generous timeout.
func with(t *testing.T, client redis.UniversalClient, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()

	t.Cleanup(func() { _ = client.Close() })

	s, err := redisstore.New(client, append([]redisstore.Option{redisstore.WithTimeout(generous)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}

	return s
}

// through is a store behind a proxy, without an index.
func through(t *testing.T, proxy *redistest.Proxy, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()

	return open(t, proxy.URL(), append([]redisstore.Option{unindexed}, opts...)...)
}

// viaPlan is a store on a cluster whose lines are all in one plan.
func viaPlan(t *testing.T, cluster *redistest.Cluster, plan *redistest.Plan, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()

	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: cluster.Addrs(), Dialer: plan.Dial, ContextTimeoutEnabled: true, MaxRetries: 3,
		DialTimeout: generous, ReadTimeout: generous, WriteTimeout: generous, PoolTimeout: generous,
	})

	return with(t, client, append([]redisstore.Option{unindexed}, opts...)...)
}

func newKey() (key store.Key) {
	_, _ = rand.Read(key[:])

	return key
}

func newToken() (token store.Token) {
	_, _ = rand.Read(token[:])

	return token
}

// newClaim is a claim on a fresh key.
func newClaim() store.Claim { return claimOn(newKey()) }

// claimOn is another caller's claim with the same request.
func claimOn(key store.Key) store.Claim {
	return store.Claim{
		Key:         key,
		Token:       newToken(),
		Fingerprint: store.Fingerprint{Scheme: 1, Sum: [32]byte{1, 2, 3}},
		Guarantee:   store.AtLeastOnce,
		Lease:       time.Hour,
		MaxRun:      time.Hour,
		MaxAttempts: 5,
		Retention:   time.Hour,
		Method:      "/shop.v1.Orders/Create",
		ReadableKey: "order-7",
	}
}

func completion(claim store.Claim, outcome string) store.Completion {
	return store.Completion{Key: claim.Key, Token: claim.Token, Outcome: []byte(outcome)}
}

func renewal(claim store.Claim) store.Renewal {
	return store.Renewal{Key: claim.Key, Token: claim.Token, Lease: claim.Lease}
}

func release(claim store.Claim) store.Release {
	return store.Release{Claim: claim}
}

func hold(claim store.Claim) store.Hold {
	return store.Hold{Key: claim.Key, Token: claim.Token, Outcome: []byte("a note")}
}

// must returns the answer to an operation that must be applied.
func must(t *testing.T, res store.Result, err error) store.Result {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}

	if !res.Applied {
		t.Fatalf("not applied: the record is %v with fence %d", res.Record.State, res.Record.Fence)
	}

	return res
}

// start claims a key, which must succeed.
func start(t *testing.T, s store.Store, claim store.Claim) store.Result {
	t.Helper()

	res, err := s.Claim(t.Context(), claim)

	return must(t, res, err)
}

// lookup returns the record of a key.
func lookup(t *testing.T, s store.Inspector, key store.Key) store.Result {
	t.Helper()

	res, err := s.Lookup(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	return res
}

// mustBe checks the state of a record.
func mustBe(t *testing.T, s store.Inspector, key store.Key, want store.State) {
	t.Helper()

	if got := lookup(t, s, key).Record.State; got != want {
		t.Errorf("the record is %v, want %v", got, want)
	}
}

// eventually returns when a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()

	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()

	for deadline := time.Now().Add(patience); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// overdue is a claim whose lease has ended, and whose owner cannot be alive any more.
func overdue(t *testing.T, s *redisstore.Store) store.Claim {
	t.Helper()

	return overdueOf(t, s, newClaim())
}

func overdueOf(t *testing.T, s *redisstore.Store, claim store.Claim) store.Claim {
	t.Helper()

	claim.Lease, claim.MaxRun = time.Millisecond, time.Millisecond
	until := start(t, s, claim).Record.OwnerAliveUntil

	eventually(t, "the lease ends", func() bool { return lookup(t, s, claim.Key).Now.After(until) })

	return claim
}

// operating matches the commands of operations on a server that knows the scripts.
var operating = redistest.Named("evalsha", "set")

// unindexed delays the index writes of a store for an hour, for tests that count commands.
var unindexed = redisstore.WithIndexDelay(time.Hour)

// operation is one operation on a record that is ready for it.
type operation struct {
	name string
	// prepare makes the record, and returns the claim that the operation needs.
	prepare func(t *testing.T, s *redisstore.Store) store.Claim
	run     func(ctx context.Context, s *redisstore.Store, claim store.Claim) (store.Result, error)
	// state is the state of the record afterwards.
	state store.State
}

// operations are all that change a record.
func operations() []operation { return operationsOn(newClaim) }

// operationsOn lists the operations, on records of claims from fresh.
func operationsOn(fresh func() store.Claim) []operation {
	running := func(t *testing.T, s *redisstore.Store) store.Claim {
		t.Helper()

		claim := fresh()
		start(t, s, claim)

		return claim
	}
	nothing := func(*testing.T, *redisstore.Store) store.Claim { return fresh() }

	var receipts sync.Map // by the owner's token

	claimed := func(t *testing.T, s *redisstore.Store) store.Claim {
		t.Helper()

		claim := fresh()
		receipts.Store(claim.Token, start(t, s, claim).Receipt)

		return claim
	}
	renewed := func(t *testing.T, s *redisstore.Store) store.Claim {
		t.Helper()

		claim := fresh()
		op := renewal(claim)
		op.Receipt = start(t, s, claim).Receipt
		res, err := s.Renew(t.Context(), op)
		receipts.Store(claim.Token, must(t, res, err).Receipt)

		return claim
	}
	completes := func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
		op := completion(c, "paid")
		op.Receipt, _ = receipts.Load(c.Token)

		return s.Complete(ctx, op)
	}
	held := func(t *testing.T, s *redisstore.Store) store.Claim {
		t.Helper()

		claim := running(t, s)
		res, err := s.Hold(t.Context(), hold(claim))
		must(t, res, err)

		return claim
	}
	ended := func(t *testing.T, s *redisstore.Store) store.Claim {
		t.Helper()

		return overdueOf(t, s, fresh())
	}

	return []operation{
		{"claim", nothing, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Claim(ctx, c)
		}, store.Running},
		{"takeover", func(t *testing.T, s *redisstore.Store) store.Claim {
			t.Helper()

			claim := claimOn(overdueOf(t, s, fresh()).Key)
			claim.Fence = 1

			return claim
		}, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Claim(ctx, c)
		}, store.Running},
		{"renew", running, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Renew(ctx, renewal(c))
		}, store.Running},
		{"complete", running, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Complete(ctx, completion(c, "paid"))
		}, store.Completed},
		{"complete with a receipt", claimed, completes, store.Completed},
		{"complete with the receipt of a renewal", renewed, completes, store.Completed},
		{"release", running, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Release(ctx, release(c))
		}, store.Released},
		{"withdraw", nothing, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Release(ctx, release(c))
		}, store.Released},
		{"hold", running, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Hold(ctx, hold(c))
		}, store.Unknown},
		{"complete late", held, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Complete(ctx, completion(c, "paid"))
		}, store.Completed},
		{"resolve", held, resolveCompleted, store.Completed},
		{"resolve as not executed", ended, func(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
			return s.Resolve(ctx, store.Resolution{Key: c.Key, Token: c.Token, Fence: 1, State: store.Released})
		}, store.Released},
	}
}

func resolveCompleted(ctx context.Context, s *redisstore.Store, c store.Claim) (store.Result, error) {
	return s.Resolve(ctx, store.Resolution{Key: c.Key, Token: c.Token, Fence: 1, State: store.Completed, Outcome: []byte("found")})
}

// failed reports errors that are not about a record: the operation may have taken effect.
func failed(err error) bool {
	return err != nil && !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer)
}

package sqlstoretest_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"slices"
	"testing"
	"time"

	releases "github.com/onlyonce-go/onlyonce/internal/servers"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

const (
	// unit is the lease of runs whose lease a check lets end. It allows for slow machines.
	unit = 200 * time.Millisecond
	// patience is the longest wait of a test. An event that takes longer counts as missing.
	patience = 2 * time.Minute
	// generous is the timeout of operations that no test wants to fail.
	generous = time.Minute
	// connections is how many connections a pool has.
	connections = 8
)

// kind is a kind of database.
type kind struct {
	name    string
	dialect sqlstore.Dialect
	fresh   func(tb testing.TB) *sqltest.Database
	// params are the parameters of the driver.
	params []string
	// options are the options of every store.
	options []sqlstore.Option
}

// kinds are the databases that the store is tested on. MySQL itself is included if the environment names it.
var kinds = append([]kind{
	{"PostgreSQL", sqlstore.PostgreSQL, sqltest.PostgresDatabase, nil, nil},
	{"MariaDB", sqlstore.MySQL, sqltest.MariaDBDatabase, nil, nil},
	{"SQLite", sqlstore.SQLite, sqltest.SQLite, []string{"_pragma=busy_timeout(5)", "_pragma=synchronous(normal)"}, nil},
}, newest()...)

// newest are the kinds of servers that are unpacked for the tests.
func newest() []kind {
	if !releases.Chosen(releases.MySQL9) {
		return nil
	}

	return []kind{{"MySQL", sqlstore.MySQL, sqltest.MySQLDatabase, nil, nil}}
}

// pipelined is PostgreSQL whose single transactions send their statements together.
func pipelined() kind {
	return kind{
		"PostgreSQL pipelined", sqlstore.PostgreSQL, sqltest.PostgresDatabase, nil,
		[]sqlstore.Option{sqlstore.WithPipeline(pgxpipeline.Send)},
	}
}

// single are all kinds of single transactions.
func single() []kind { return append(slices.Clone(kinds), pipelined()) }

// singleServers are the kinds whose connection can break.
func singleServers() []kind { return append(servers(), pipelined()) }

// servers are the kinds that are reached by a line that can break.
func servers() []kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return k.dialect == sqlstore.SQLite })
}

// each runs a test on databases.
func each(t *testing.T, kinds []kind, test func(t *testing.T, k kind)) {
	t.Helper()
	t.Parallel()

	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

// pool limits the connections of a pool, and keeps them.
func pool(db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)

	return db
}

// base is an empty database of a kind.
func (k kind) base(tb testing.TB) *sql.DB {
	tb.Helper()

	return pool(k.fresh(tb).DB(tb, k.params...))
}

// open is a store on an empty database. Its operations have a generous timeout.
func (k kind) open(tb testing.TB, opts ...sqlstore.Option) (*sqlstore.Store, *sql.DB) {
	tb.Helper()

	db := k.base(tb)

	return k.on(tb, db, opts...), db
}

// on is a store on a database, which is migrated.
func (k kind) on(tb testing.TB, db *sql.DB, opts ...sqlstore.Option) *sqlstore.Store {
	tb.Helper()

	opts = append(slices.Clone(k.options), opts...)

	if err := sqlstore.Migrate(tb.Context(), db, k.dialect, opts...); err != nil {
		tb.Fatal(err)
	}

	s, err := newStore(db, k.dialect, append([]sqlstore.Option{sqlstore.WithTimeout(generous)}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}

	return s
}

// newStore calls New, whose check has 15 s. If that is too short on a slow machine, it calls New again.
func newStore(db *sql.DB, d sqlstore.Dialect, opts ...sqlstore.Option) (*sqlstore.Store, error) {
	for until := time.Now().Add(patience); ; {
		s, err := sqlstore.New(db, d, opts...)
		if !errors.Is(err, context.DeadlineExceeded) || time.Now().After(until) {
			return s, err
		}
	}
}

// behind is a store behind a proxy.
func (k kind) behind(tb testing.TB) (*sqlstore.Store, *sqltest.Proxy) {
	tb.Helper()

	proxy := sqltest.NewProxy(tb, k.fresh(tb))

	return k.on(tb, pool(proxy.DB(tb, k.params...))), proxy
}

// impatient is a store behind a proxy, with a short timeout.
func (k kind) impatient(tb testing.TB, proxy *sqltest.Proxy, timeout time.Duration) *sqlstore.Store {
	tb.Helper()

	return k.on(tb, pool(proxy.DB(tb, k.params...)), sqlstore.WithTimeout(timeout))
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
func must(tb testing.TB, res store.Result, err error) store.Result {
	tb.Helper()

	if err != nil {
		tb.Fatal(err)
	}

	if !res.Applied {
		tb.Fatalf("not applied: the record is %v with fence %d", res.Record.State, res.Record.Fence)
	}

	return res
}

// start claims a key, which must succeed.
func start(tb testing.TB, s store.Store, claim store.Claim) store.Result {
	tb.Helper()

	res, err := s.Claim(tb.Context(), claim)

	return must(tb, res, err)
}

// lookup returns the record of a key.
func lookup(tb testing.TB, s store.Inspector, key store.Key) store.Result {
	tb.Helper()

	res, err := s.Lookup(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}

	return res
}

// eventually returns when a condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()

	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()

	for deadline := time.Now().Add(patience); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// happens waits until a channel is closed or has a value, and returns the value.
func happens[T any](tb testing.TB, what string, channel <-chan T) (said T) {
	tb.Helper()

	timer := time.NewTimer(patience)
	defer timer.Stop()

	select {
	case said = <-channel:
	case <-timer.C:
		tb.Fatalf("not within %v: %s", patience, what)
	}

	return said
}

// overdue is a claim whose lease has ended, and whose owner cannot be alive any more.
func overdue(tb testing.TB, s *sqlstore.Store) store.Claim {
	tb.Helper()

	claim := newClaim()
	claim.Lease, claim.MaxRun = time.Millisecond, time.Millisecond
	until := start(tb, s, claim).Record.OwnerAliveUntil

	eventually(tb, "the lease ends", func() bool { return lookup(tb, s, claim.Key).Now.After(until) })

	return claim
}

// operation is one operation on a record that is ready for it.
type operation struct {
	name string
	// prepare makes the record, and returns the claim that the operation needs.
	prepare func(tb testing.TB, s *sqlstore.Store) store.Claim
	run     func(ctx context.Context, s *sqlstore.Store, claim store.Claim) (store.Result, error)
	// state is the state of the record afterwards.
	state store.State
}

// operations are all that change a record.
func operations() []operation {
	running := func(tb testing.TB, s *sqlstore.Store) store.Claim {
		tb.Helper()

		claim := newClaim()
		start(tb, s, claim)

		return claim
	}
	nothing := func(testing.TB, *sqlstore.Store) store.Claim { return newClaim() }

	return []operation{
		{"claim", nothing, claims, store.Running},
		{"takeover", func(tb testing.TB, s *sqlstore.Store) store.Claim {
			tb.Helper()

			claim := claimOn(overdue(tb, s).Key)
			claim.Fence = 1

			return claim
		}, claims, store.Running},
		{"renew", running, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
			return s.Renew(ctx, renewal(c))
		}, store.Running},
		{"complete", running, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
			return s.Complete(ctx, completion(c, "paid"))
		}, store.Completed},
		{"release", running, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
			return s.Release(ctx, release(c))
		}, store.Released},
		{"withdraw", nothing, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
			return s.Release(ctx, release(c))
		}, store.Released},
		{"hold", running, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
			return s.Hold(ctx, hold(c))
		}, store.Unknown},
		{"resolve", func(tb testing.TB, s *sqlstore.Store) store.Claim {
			tb.Helper()

			claim := running(tb, s)
			res, err := s.Hold(tb.Context(), hold(claim))
			must(tb, res, err)

			return claim
		}, resolveCompleted, store.Completed},
		{"forget", running, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
			return s.Forget(ctx, store.Forgetting{Key: c.Key, Token: c.Token, Fence: 1, Force: true})
		}, store.Absent},
		{"resolve as not executed", overdue, func(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
			return s.Resolve(ctx, store.Resolution{Key: c.Key, Token: c.Token, Fence: 1, State: store.Released})
		}, store.Released},
	}
}

func claims(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
	return s.Claim(ctx, c)
}

func resolveCompleted(ctx context.Context, s *sqlstore.Store, c store.Claim) (store.Result, error) {
	return s.Resolve(ctx, store.Resolution{
		Key: c.Key, Token: c.Token, Fence: 1, State: store.Completed, Outcome: []byte("found"),
	})
}

// failed reports errors that leave the record uncertain: the operation may have taken effect.
func failed(err error) bool {
	return err != nil && !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer)
}

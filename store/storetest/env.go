package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// tb is the part of *testing.T that a check needs.
type tb interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// env is the environment of a check: a store, and its own key.
type env struct {
	tb
	config

	ctx   context.Context // of the test
	store *keeper         // the store with receipts, as owners use it
	raw   store.Store     // the store itself
	can   store.Capabilities
	key   store.Key
}

func newEnv(ctx context.Context, t tb, st store.Store, cfg config) *env {
	return &env{
		tb: t, config: cfg, ctx: ctx, raw: st, can: usable(st.Capabilities()), key: newKey(),
		store: &keeper{Store: st, receipts: make(map[run]any), without: cfg.withoutReceipts},
	}
}

// long is a lease and a retention that does not end during a check.
const long = time.Hour

// rounding is how far the times of a store may be off, because many stores count milliseconds.
const rounding = 2 * time.Millisecond

func newKey() (key store.Key) {
	_, _ = rand.Read(key[:])

	return key
}

func newToken() (token store.Token) {
	_, _ = rand.Read(token[:])

	return token
}

// newKey changes to a fresh record.
func (x *env) newKey() { x.key = newKey() }

// newClaim returns a claim that expects no record and has every field. Each is another caller with the same request.
func (x *env) newClaim() store.Claim {
	return store.Claim{
		Key:         x.key,
		Token:       newToken(),
		Fingerprint: store.Fingerprint{Scheme: 1, Sum: [32]byte{1, 2, 3}},
		Guarantee:   store.AtLeastOnce,
		Lease:       long,
		MaxRun:      long,
		Retention:   long,
		Scope:       1,
		Method:      "/onlyonce.storetest.v1.Suite/Check",
		ReadableKey: "key-é",
	}
}

// shortClaim returns a claim whose lease and longest run end as soon as a check waits for them.
func (x *env) shortClaim() store.Claim {
	claim := x.newClaim()
	claim.Lease, claim.MaxRun = x.unit, x.unit

	return claim
}

func (x *env) must(name string, res store.Result, err error) store.Result {
	x.Helper()

	if err != nil {
		x.Fatalf("%s returned an error: %v", name, err)
	}

	return res
}

func (x *env) claim(op store.Claim) store.Result {
	x.Helper()
	res, err := x.store.Claim(x.ctx, op)

	return x.must("Claim", res, err)
}

func (x *env) renew(owner store.Claim, lease time.Duration) store.Result {
	x.Helper()
	res, err := x.store.Renew(x.ctx, store.Renewal{Key: owner.Key, Token: owner.Token, Lease: lease})

	return x.must("Renew", res, err)
}

func (x *env) complete(owner store.Claim, outcome string) store.Result {
	x.Helper()
	res, err := x.store.Complete(x.ctx, completion(owner, outcome))

	return x.must("Complete", res, err)
}

func completion(owner store.Claim, outcome string) store.Completion {
	return store.Completion{Key: owner.Key, Token: owner.Token, Outcome: []byte(outcome)}
}

func (x *env) release(owner store.Claim) store.Result {
	x.Helper()
	res, err := x.store.Release(x.ctx, store.Release{Claim: owner})

	return x.must("Release", res, err)
}

func (x *env) hold(owner store.Claim, outcome string) store.Result {
	x.Helper()
	res, err := x.store.Hold(x.ctx, store.Hold{Key: owner.Key, Token: owner.Token, Outcome: []byte(outcome)})

	return x.must("Hold", res, err)
}

// read returns the record through a renewal with a foreign token, which changes nothing and works on every store.
func (x *env) read() store.Result {
	x.Helper()

	return x.renew(store.Claim{Key: x.key, Token: newToken()}, time.Nanosecond)
}

// brokenf reports that the store breaks r.
func (x *env) brokenf(r rule, format string, args ...any) {
	x.Helper()
	x.Errorf("%v: %s", r, fmt.Sprintf(format, args...))
}

// start claims the key, which must succeed.
func (x *env) start(op store.Claim) store.Result {
	x.Helper()

	res := x.claim(op)
	if !res.Applied || res.Record.State != store.Running || res.Record.Token != op.Token {
		x.Fatalf("%v: a claim that must win did not: applied=%t, the record is %v with fence %d, the claim expected %d",
			expectedFence, res.Applied, res.Record.State, res.Record.Fence, op.Fence)
	}

	return res
}

// startShort claims the key and waits until the lease has ended and the owner cannot be alive.
func (x *env) startShort(op store.Claim) store.Result {
	x.Helper()

	res := x.start(op)
	x.pass(res.Record.OwnerAliveUntil)

	return res
}

// together runs n functions at once and waits for them. They must not call x.Fatalf.
func together(n int, run func(i int)) {
	var wg sync.WaitGroup

	begin := make(chan struct{})

	for i := range n {
		wg.Go(func() {
			<-begin
			run(i)
		})
	}

	close(begin)
	wg.Wait()
}

package store_test

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// ledger is an inner store whose records a test can change, and which keeps every operation that has reached it.
type ledger struct {
	mu      sync.Mutex
	now     time.Time
	records map[store.Key]store.Record
	seen    []any
}

func newLedger() *ledger { return &ledger{now: now, records: make(map[store.Key]store.Record)} }

func (l *ledger) apply(key store.Key, op any, apply func(store.Record, time.Time) store.Transition) (store.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.seen = append(l.seen, op)
	got := apply(l.records[key], l.now)
	l.records[key] = got.Record

	return store.Result{Applied: got.Applied, Record: got.Record, Now: l.now}, nil
}

func (l *ledger) Claim(_ context.Context, op store.Claim) (store.Result, error) {
	return l.apply(op.Key, op, op.Apply)
}

func (l *ledger) Renew(_ context.Context, op store.Renewal) (store.Result, error) {
	return l.apply(op.Key, op, op.Apply)
}

func (l *ledger) Complete(_ context.Context, op store.Completion) (store.Result, error) {
	return l.apply(op.Key, op, op.Apply)
}

func (l *ledger) Release(_ context.Context, op store.Release) (store.Result, error) {
	return l.apply(op.Claim.Key, op, op.Apply)
}

func (l *ledger) Hold(_ context.Context, op store.Hold) (store.Result, error) {
	return l.apply(op.Key, op, op.Apply)
}

func (l *ledger) Resolve(_ context.Context, op store.Resolution) (store.Result, error) {
	return l.apply(op.Key, op, op.Apply)
}

func (l *ledger) Forget(_ context.Context, op store.Forgetting) (store.Result, error) {
	return l.apply(op.Key, op, op.Apply)
}

func (l *ledger) Lookup(_ context.Context, key store.Key) (store.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	return store.Result{Record: l.records[key], Now: l.now}, nil
}

func (l *ledger) list(want func(res *store.Result) bool) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		for key := range l.records {
			res, err := l.Lookup(context.Background(), key)
			if want(&res) && !yield(store.Listed{Key: key, Result: res}, err) {
				return
			}
		}
	}
}

func (l *ledger) ListUnknown(context.Context) iter.Seq2[store.Listed, error] {
	return l.list(func(res *store.Result) bool { return res.Unknown() }) //nolint:contextcheck // a map needs no context
}

func (l *ledger) ListRunning(context.Context) iter.Seq2[store.Listed, error] {
	//nolint:contextcheck // a map needs no context
	return l.list(func(res *store.Result) bool { return res.Record.LeaseAlive(res.Now) })
}

func (l *ledger) Capabilities() store.Capabilities {
	return store.Capabilities{Inspector: l, Lister: l, Forgetter: l, Immediate: true}
}

// change changes a record behind the store's back.
func (l *ledger) change(key store.Key, change func(rec *store.Record)) {
	l.mu.Lock()
	defer l.mu.Unlock()

	rec := l.records[key]
	change(&rec)
	l.records[key] = rec
}

func (l *ledger) pass(d time.Duration) { l.now = l.now.Add(d) }

// text returns the stored text of a record.
func (l *ledger) text(key store.Key) string { return string(l.records[key].Outcome) }

// texts are the bytes and strings in a value, however deep.
func texts(v reflect.Value) (found []string) {
	switch v.Kind() {
	case reflect.String:
		return []string{v.String()}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return []string{fmt.Sprintf("%s", v.Interface())}
		}

		for i := range v.Len() {
			found = append(found, texts(v.Index(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				found = append(found, texts(v.Field(i))...)
			}
		}
	case reflect.Interface, reflect.Pointer:
		return texts(v.Elem())
	default:
	}

	return found
}

// mustNotHaveSeen fails if something has reached the store that contains a secret.
func (l *ledger) mustNotHaveSeen(t *testing.T, secret string) {
	t.Helper()

	for _, op := range l.seen {
		for _, text := range texts(reflect.ValueOf(op)) {
			if strings.Contains(text, secret) {
				t.Errorf("a %T with the text %q has reached the inner store", op, text)
			}
		}
	}
}

// sealedCase is a sealed store on a ledger.
type sealedCase struct {
	t     *testing.T
	inner *ledger
	store store.Store
}

func onLedger(t *testing.T, ring store.Keyring, opts ...store.SealedOption) *sealedCase {
	t.Helper()

	inner := newLedger()

	return &sealedCase{t, inner, store.Sealed(inner, ring, opts...)}
}

// under is another process with another ring on the same records.
func (c *sealedCase) under(ring store.Keyring, opts ...store.SealedOption) *sealedCase {
	return &sealedCase{c.t, c.inner, store.Sealed(c.inner, ring, opts...)}
}

const secret = "4000 EUR to Ann"

func sealedClaim(key, token byte) store.Claim {
	return store.Claim{
		Key: store.Key{key}, Token: store.Token{token}, Guarantee: store.AtMostOnce, Lease: time.Minute, MaxRun: time.Minute,
		Retention: time.Hour, Method: "/bank.Payments/Pay", ReadableKey: "order-7", Note: []byte(secret),
	}
}

func (c *sealedCase) ok(res store.Result, err error) {
	c.t.Helper()

	if err != nil || !res.Applied {
		c.t.Fatalf("applied: %t, %v, error: %v", res.Applied, res.Record.State, err)
	}
}

func (c *sealedCase) claim(key, token byte) {
	c.t.Helper()

	c.ok(c.store.Claim(c.t.Context(), sealedClaim(key, token)))
}

func (c *sealedCase) complete(key, token byte, outcome string) (store.Result, error) {
	return c.store.Complete(c.t.Context(), store.Completion{
		Key: store.Key{key}, Token: store.Token{token}, Outcome: []byte(outcome),
	})
}

func (c *sealedCase) hold(key, token byte) {
	c.t.Helper()

	c.ok(c.store.Hold(c.t.Context(), store.Hold{Key: store.Key{key}, Token: store.Token{token}, Outcome: []byte(secret)}))
}

func (c *sealedCase) resolve(key, token byte, state store.State, outcome string) (store.Result, error) {
	rec := c.inner.records[store.Key{key}]

	return c.store.Capabilities().Inspector.Resolve(c.t.Context(), store.Resolution{
		Key: store.Key{key}, Token: store.Token{token}, Fence: rec.Fence, State: state, Outcome: []byte(outcome),
	})
}

func (c *sealedCase) lookup(key byte) (store.Result, error) {
	return c.store.Capabilities().Inspector.Lookup(c.t.Context(), store.Key{key})
}

// mustRead fails unless a record has the secret.
func (c *sealedCase) mustRead(key byte) {
	c.t.Helper()

	if res, err := c.lookup(key); err != nil || string(res.Record.Outcome) != secret {
		c.t.Errorf("record %d has %q, %v; want %q", key, res.Record.Outcome, err, secret)
	}
}

// kinds of texts, each left by its operation.
var kindsOfTexts = map[string]func(c *sealedCase, key, token byte){
	"the note of a claim": func(c *sealedCase, key, token byte) { c.claim(key, token) },
	"a held outcome": func(c *sealedCase, key, token byte) {
		c.claim(key, token)
		c.hold(key, token)
	},
	"the owner's outcome": func(c *sealedCase, key, token byte) {
		c.claim(key, token)
		c.ok(c.complete(key, token, secret))
	},
	"a found outcome": func(c *sealedCase, key, token byte) {
		c.claim(key, token)
		c.hold(key, token)
		c.ok(c.resolve(key, token, store.Completed, secret))
	},
	"the note of a release": func(c *sealedCase, key, token byte) {
		c.claim(key, token)
		c.hold(key, token)
		c.inner.pass(time.Hour)
		c.ok(c.resolve(key, token, store.Released, secret))
		c.inner.pass(-time.Hour)
	},
}

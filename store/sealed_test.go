package store_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// sealKey is a key whose secret derives from its id.
func sealKey(tb testing.TB, id string) *store.SealKey {
	tb.Helper()

	key, err := store.NewSealKey(id, bytes.Repeat([]byte(id[:1]), store.SealKeySize))
	if err != nil {
		tb.Fatal(err)
	}

	return key
}

// keys is a ring of keys, the newest first.
func keys(tb testing.TB, newest string, others ...string) *store.StaticKeys {
	tb.Helper()

	older := make([]*store.SealKey, 0, len(others))
	for _, id := range others {
		older = append(older, sealKey(tb, id))
	}

	ring, err := store.NewStaticKeys(sealKey(tb, newest), older...)
	if err != nil {
		tb.Fatal(err)
	}

	return ring
}

// turningRing has another newest key each time.
type turningRing struct {
	*store.StaticKeys

	ids   []string
	turns chan int
}

func newTurningRing(tb testing.TB) *turningRing {
	tb.Helper()

	ring := &turningRing{StaticKeys: keys(tb, "a", "b"), ids: []string{"a", "b"}, turns: make(chan int, 1)}
	ring.turns <- 0

	return ring
}

func (r *turningRing) Newest(ctx context.Context) (*store.SealKey, error) {
	turn := <-r.turns
	r.turns <- turn + 1

	return r.Key(ctx, r.ids[turn%len(r.ids)])
}

func TestSealedStoresKeepTheContract(t *testing.T) {
	t.Parallel()

	for name, newStore := range map[string]func(t *testing.T) store.Store{
		"memstore": func(t *testing.T) store.Store {
			t.Helper()

			return store.Sealed(memstore.New(), keys(t, "a"))
		},
		"a store that cannot decide in place": func(t *testing.T) store.Store {
			t.Helper()

			return store.Sealed(struct{ store.Store }{memstore.New()}, keys(t, "a"))
		},
		"a key that changes with every text": func(t *testing.T) store.Store {
			t.Helper()

			return store.Sealed(memstore.New(), newTurningRing(t))
		},
		"with unsealed records": func(t *testing.T) store.Store {
			t.Helper()

			return store.Sealed(memstore.New(), keys(t, "a"), store.WithUnsealedRecords())
		},
		"with the sealing off": func(t *testing.T) store.Store {
			t.Helper()

			return store.Sealed(memstore.New(), keys(t, "a"), store.WithSealingOff())
		},
		"sealed twice": func(t *testing.T) store.Store {
			t.Helper()

			return store.Sealed(store.Sealed(memstore.New(), keys(t, "a")), keys(t, "b"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, newStore, storetest.InBubble())
		})
	}
}

// joining is a transaction of txstore that a handler opens.
type joining struct{ *txstore.Tx }

func (j joining) Join(ctx context.Context, response any) error { return j.Tx.Join(ctx, response, nil) }

func TestSealedTransactionsKeepTheContract(t *testing.T) {
	t.Parallel()

	for name, ring := range map[string]func(t *testing.T) store.Keyring{
		"one key": func(t *testing.T) store.Keyring {
			t.Helper()

			return keys(t, "a")
		},
		"a key that changes with every text": func(t *testing.T) store.Keyring {
			t.Helper()

			return newTurningRing(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var inner sync.Map // by sealed store

			storetest.Run(t, func(t *testing.T) store.Store {
				t.Helper()

				s := txstore.New()
				sealed := store.Sealed(s, ring(t))
				inner.Store(sealed, s)

				return sealed
			}, storetest.InBubble(), storetest.WithTake(txstore.Take), storetest.WithJoin(func(
				_ context.Context, s store.Store,
			) (storetest.Joining, error) {
				found, _ := inner.Load(s)

				own, ok := found.(*txstore.Store)
				if !ok {
					return nil, errors.New("another store")
				}

				return joining{own.Open()}, nil
			}))
		})
	}
}

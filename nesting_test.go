package onlyonce_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF67CallInsideARunOfItsOwnKeyIsRefusedOnAnyEngineOfTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := memstore.New()
		first, second := newEngine(t, records), newEngine(t, records)
		began := time.Now()

		var p payments

		do(t, first, pay("k"), func(ctx context.Context) ([]byte, error) {
			if _, err := second.Do(ctx, pay("k"), p.do); !errors.Is(err, onlyonce.ErrOwnKey) {
				t.Errorf("the same key on another engine: %v, want ErrOwnKey", err)
			}

			if _, err := second.Do(ctx, pay("other"), p.do); err != nil {
				t.Errorf("another key: %v", err)
			}

			// A copy of the records elsewhere, as while services move from one store to another, has nothing to wait for.
			if _, err := newEngine(t, memstore.New()).Do(ctx, pay("k"), p.do); err != nil {
				t.Errorf("the same key on another store: %v", err)
			}

			return p.do(ctx)
		}).mustBe(t, onlyonce.StatusExecuted, "#3")

		if took := time.Since(began); took != 0 {
			t.Errorf("the call has waited %v for itself", took)
		}
	})
}

func TestF67JobThatInheritedTheContextOfAFinishedRunIsNotRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, e := range map[string]*onlyonce.Engine{
			"leased": newEngine(t, memstore.New()),
			"single": newEngine(t, txstore.New(), exactlyOnce(onlyonce.SingleTransaction)),
		} {
			var (
				p       payments
				inherit context.Context
			)

			do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
				inherit = context.WithoutCancel(ctx) //nolint:fatcontext // that is the mistake

				return p.do(ctx)
			}).mustBe(t, onlyonce.StatusExecuted, "#1")

			if got, err := e.Do(inherit, pay("k"), p.do); err != nil || got.Status != onlyonce.StatusReplayed {
				t.Errorf("%s: the job got %s, %v; want the replay", name, got.Status, err)
			}
		}
	})
}

// A keyed call on the store of a single transaction may wait for that very transaction: on SQLite always, elsewhere where the pool
// is small.
func TestF69KeyedCallInsideASingleTransactionIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := txstore.New()
		e := newEngine(t, db, exactlyOnce(onlyonce.SingleTransaction))
		leasedEngine := newEngine(t, db)

		var (
			p payments
			s shop
		)

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			for name, other := range map[string]*onlyonce.Engine{"the engine itself": e, "another one of the store": leasedEngine} {
				_, err := other.Do(ctx, pay("other"), p.do)
				if !errors.Is(err, onlyonce.ErrInTransaction) || !strings.Contains(err.Error(), "JoinedTransaction") {
					t.Errorf("%s: %v, want ErrInTransaction and what to do", name, err)
				}
			}

			if _, err := newEngine(t, memstore.New()).Do(ctx, pay("other"), p.do); err != nil {
				t.Errorf("on another store: %v", err)
			}

			return s.sell(ctx)
		}).mustBe(t, onlyonce.StatusExecuted, "#1")
		p.mustHaveRun(t, 1)
	})
}

func TestNewRefusesATypedNilStore(t *testing.T) {
	t.Parallel()

	var missing *memstore.Store

	for name, s := range map[string]store.Store{"nil": nil, "typed nil": missing} {
		if _, err := onlyonce.New(s); err == nil || !strings.Contains(err.Error(), "without a store") {
			t.Errorf("%s: %v, want an error that says so", name, err)
		}
	}
}

// valueStore is a store that cannot be compared.
type valueStore struct {
	*memstore.Store

	_ []int
}

func (valueStore) Capabilities() store.Capabilities { return store.Capabilities{} }

func TestF67StoresThatCannotBeComparedAreNotTheSame(t *testing.T) {
	t.Parallel()

	mem := memstore.New()
	outer := newEngine(t, plainStore{valueStore{Store: mem}})
	inner := newEngine(t, plainStore{valueStore{Store: mem}})

	do(t, outer, pay("k"), func(ctx context.Context) ([]byte, error) {
		result, err := inner.Do(ctx, pay("other"), new(payments).do)

		return result.Body, err
	}).mustBe(t, onlyonce.StatusExecuted, "#1")
}

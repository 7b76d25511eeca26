package reconcile_test

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// troubled is a store with injected errors. While forgetsEnds is set, it loses completions.
type troubled struct {
	*memstore.Store

	forgetsEnds atomic.Bool
	refuses     error // returned by Resolve
	listed      error // returned at the end of lists
}

func (s *troubled) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Direct, can.Lister, can.Inspector = nil, s, s

	return can
}

func (s *troubled) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	if s.forgetsEnds.Load() {
		return store.Result{}, errProvider
	}

	return s.Store.Complete(ctx, op) //nolint:wrapcheck // a wrapper
}

func (s *troubled) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	if s.refuses != nil {
		return store.Result{}, s.refuses
	}

	return s.Store.Resolve(ctx, op) //nolint:wrapcheck // a wrapper
}

func (s *troubled) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		if errors.Is(s.listed, store.ErrUnreadable) && !yield(store.Listed{Key: store.Key{9}}, s.listed) {
			return
		}

		for one, err := range s.Store.ListUnknown(ctx) {
			if !yield(one, err) {
				return
			}
		}

		if s.listed != nil {
			yield(store.Listed{}, s.listed)
		}
	}
}

// abandoned makes n unsettled records of shadow mode, and one record of real mode.
func abandoned(t *testing.T, records *troubled, n int) *onlyonce.Engine {
	t.Helper()

	shadow := newEngine(t, records, &provider{}, onlyonce.WithPolicy(onlyonce.Policy{Shadow: onlyonce.ShadowOn}))
	records.forgetsEnds.Store(true)

	hold(t, shadow, method, n)
	time.Sleep(time.Hour) // the leases have ended

	records.forgetsEnds.Store(false)

	engine := newEngine(t, records, nil)
	hold(t, engine, other, 1)

	return engine
}

func left(t *testing.T, engine *onlyonce.Engine) (n int) {
	t.Helper()

	for _, err := range engine.ListShadow(t.Context()) {
		if err == nil {
			n++
		}
	}

	return n
}

func TestSettleShadowCompletesWhatDeadRunsOfShadowModeHaveLeft(t *testing.T) {
	t.Parallel()

	broken := errors.New("the connection was lost")

	for name, tt := range map[string]struct {
		refuses, listed error
		settled, left   int
		want            error
	}{
		"all of them":                       {settled: 3},
		"with a record that cannot be read": {listed: store.ErrUnreadable, settled: 3},
		"with a list that is not complete":  {listed: broken, settled: 3, want: broken},
		"if the store refuses":              {refuses: broken, left: 3, want: broken},
		"if the store cannot settle":        {refuses: onlyonce.ErrNotSupported, left: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				records := &troubled{Store: memstore.New()}
				engine := abandoned(t, records, 3)
				records.refuses, records.listed = tt.refuses, tt.listed

				if n, err := reconcile.SettleShadow(t.Context(), engine); n != tt.settled || !errors.Is(err, tt.want) {
					t.Errorf("SettleShadow = %d, %v; want %d, %v", n, err, tt.settled, tt.want)
				}

				records.refuses, records.listed = nil, nil

				if n := left(t, engine); n != tt.left {
					t.Errorf("%d records of shadow mode are left, want %d", n, tt.left)
				}

				if n := unknown(t, engine); n != 1 {
					t.Errorf("%d records of real mode are unknown, want the one", n)
				}
			})
		})
	}
}

func TestSettleShadowHasNothingToDoWhereTheStoreCannot(t *testing.T) {
	t.Parallel()

	if n, err := reconcile.SettleShadow(t.Context(), newEngine(t, cannotList{memstore.New()}, nil)); n != 0 || err != nil {
		t.Errorf("SettleShadow = %d, %v", n, err)
	}
}

func TestRunSettlesTheRecordsOfShadowMode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bank := &provider{}
		engine := abandoned(t, &troubled{Store: memstore.New()}, 3)
		engine.AddRecoveries(func(string) onlyonce.RecoverFunc { return bank.find })

		r := run(t, engine, reconcile.Options{})

		time.Sleep(time.Minute)

		if n := left(t, engine); n != 0 {
			t.Errorf("%d records of shadow mode are left", n)
		}

		_ = r.end(t)

		if total, _ := bank.total(); total != 1 {
			t.Errorf("the provider was asked %d times, want once, about the record of real mode", total)
		}
	})
}

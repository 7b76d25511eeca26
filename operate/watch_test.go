package operate_test

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestWatchYieldsWhatAppearsAndDisappears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())
		unknown(t, engine, method, "first")

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()

		changes := make(chan operate.Change)

		go func() {
			defer close(changes)

			for change := range operate.Watch(ctx, engine, operate.Filter{}, time.Second) {
				changes <- change
			}
		}()

		if c := <-changes; c.Kind != operate.Appeared || c.Record.ReadableKey != "first" {
			t.Errorf("got %+v", c)
		}

		second := unknown(t, engine, method, "second")

		if c := <-changes; c.Kind != operate.Appeared || c.Record.ReadableKey != "second" {
			t.Errorf("got %+v", c)
		}

		if err := operate.Settle(t.Context(), engine, operate.Plan(second, happened())); err != nil {
			t.Fatal(err)
		}

		if c := <-changes; c.Kind != operate.Disappeared || c.Before.ReadableKey != "second" || c.Record.State != store.Completed {
			t.Errorf("got %+v", c)
		}

		cancel()

		if c, more := <-changes; more {
			t.Errorf("got %+v after the end", c)
		}
	})
}

// brokenLists is a store whose lists fail while err is set.
type brokenLists struct {
	*memstore.Store

	err atomic.Pointer[error]
}

func (b *brokenLists) Capabilities() store.Capabilities {
	can := b.Store.Capabilities()
	can.Lister = b

	return can
}

func (b *brokenLists) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	if err := b.err.Load(); err != nil {
		return func(yield func(store.Listed, error) bool) { yield(store.Listed{}, *err) }
	}

	return b.Store.ListUnknown(ctx)
}

func TestWatchReportsAFailureOnceUntilALookSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := &brokenLists{Store: memstore.New()}
		engine := newEngine(t, records)
		ctx, cancel := context.WithCancel(t.Context())

		var failures []string

		done := make(chan struct{})

		go func() {
			defer close(done)

			for change := range operate.Watch(ctx, engine, operate.Filter{}, time.Second) {
				failures = append(failures, change.Err.Error())
			}
		}()

		for _, err := range []error{errors.New("first"), errors.New("second"), nil, errors.New("second")} {
			records.err.Store(nil)

			if err != nil {
				records.err.Store(&err)
			}

			time.Sleep(10 * time.Second)
		}

		cancel()
		<-done

		if len(failures) != 3 {
			t.Errorf("%d failures were reported, want 3: %q", len(failures), failures)
		}
	})
}

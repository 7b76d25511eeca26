package operate_test

import (
	"context"
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

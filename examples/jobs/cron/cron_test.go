package cron_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	robfig "github.com/robfig/cron/v3"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/jobs"
	"github.com/onlyonce-go/onlyonce/examples/jobs/cron"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// bank counts what was paid for each day.
type bank struct {
	mu   sync.Mutex
	paid []string
}

func (b *bank) Pay(_ context.Context, day time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.paid = append(b.paid, day.Format(time.DateOnly))

	return nil
}

func newPayouts(t *testing.T, records store.Store, pay func(context.Context, time.Time) error) *jobs.Payouts {
	t.Helper()

	engine, err := onlyonce.New(records, onlyonce.WithPolicy(jobs.Policy()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := engine.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})

	return &jobs.Payouts{Engine: engine, Pay: pay}
}

func TestTwoSchedulersPayOnceForEachDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			bank    bank
			records = memstore.New()
			begin   = time.Now().UTC()
		)

		schedulers := make([]*robfig.Cron, 0, 2)

		for range 2 {
			scheduler := robfig.New(robfig.WithLocation(time.UTC))
			if err := cron.Schedule(t.Context(), scheduler, newPayouts(t, records, bank.Pay)); err != nil {
				t.Fatal(err)
			}

			scheduler.Start()

			schedulers = append(schedulers, scheduler)
		}

		time.Sleep(3*24*time.Hour + time.Minute)
		synctest.Wait()

		for _, scheduler := range schedulers {
			<-scheduler.Stop().Done()
		}

		want := dates(begin.AddDate(0, 0, 2), cron.CatchUp+2)
		if got := slices.Sorted(slices.Values(bank.paid)); !slices.Equal(got, want) {
			t.Errorf("paid for %v, want %v", got, want)
		}
	})
}

func TestSchedulerThatWasDownCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			bank    bank
			payouts = newPayouts(t, memstore.New(), bank.Pay)
			begin   = time.Now().UTC()
			ctx, up = context.WithCancel(t.Context())
			ticks   = make(chan time.Time)
			ended   = make(chan struct{})
		)

		go func() {
			defer close(ended)

			cron.Tick(ctx, ticks, payouts)
		}()

		for _, days := range []int{0, 0, 1, 5} { // the second tick comes twice, and four days have none
			ticks <- begin.AddDate(0, 0, days)
		}

		synctest.Wait()

		want := dates(begin.AddDate(0, 0, 5), cron.CatchUp+5)
		if !slices.Equal(bank.paid, want) {
			t.Errorf("paid for %v, want %v", bank.paid, want)
		}

		up()
		<-ended
	})
}

// dates are the last n days before a time.
func dates(before time.Time, n int) (all []string) {
	for _, day := range cron.Days(before, n) {
		all = append(all, day.Format(time.DateOnly))
	}

	return all
}

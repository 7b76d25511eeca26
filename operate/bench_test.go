package operate_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// slow is a store with a delay in Claim and Complete.
type slow struct {
	store.Store

	claim, complete time.Duration
	fails           atomic.Bool
}

var errDown = errors.New("the store is down")

func (s *slow) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	time.Sleep(s.claim)

	if s.fails.Load() {
		return store.Result{}, errDown
	}

	return s.Store.Claim(ctx, op)
}

func (s *slow) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	time.Sleep(s.complete)

	return s.Store.Complete(ctx, op)
}

func TestBenchMeasuresAndRemovesItsRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := memstore.New()
		reports, removing := 0, false

		got, err := operate.Bench(t.Context(), &slow{Store: memory, claim: 2 * time.Millisecond, complete: 3 * time.Millisecond},
			operate.BenchOptions{Duration: time.Second, Callers: 4, Outcome: 10, Progress: func(p operate.Progress) {
				reports++
				removing = p.Removing
			}})
		if err != nil {
			t.Fatal(err)
		}

		// Calls that begin at the end of the second may or may not count.
		if got.Calls < 796 || got.Calls > 804 || got.Errors != 0 || got.Rate < 780 || got.Rate > 804 {
			t.Errorf("got %+v", got)
		}

		if got.Claim.P50 != 2*time.Millisecond || got.Completion.P99 != 3*time.Millisecond || got.Call.Max != 5*time.Millisecond {
			t.Errorf("got %+v", got)
		}

		if reports < 4 || !removing {
			t.Errorf("%d reports of progress, the last one of the removal: %t", reports, removing)
		}

		if n := memory.Len(); n != 0 || got.Left != 0 {
			t.Errorf("%d records are left, reported are %d", n, got.Left)
		}
	})
}

func TestBenchCountsCallsThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slow{Store: memstore.New(), claim: 10 * time.Millisecond}
		s.fails.Store(true)

		got, err := operate.Bench(t.Context(), s, operate.BenchOptions{Duration: time.Second, Callers: 1})
		if err != nil || got.Calls != 0 || got.Errors < 98 || !errors.Is(got.FirstError, errDown) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestBenchThatIsInterruptedRemovesItsRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := memstore.New()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		got, err := operate.Bench(ctx, &slow{Store: memory, claim: time.Millisecond}, operate.BenchOptions{Duration: time.Hour})
		if err != nil || got.Calls == 0 || got.Duration > 2*time.Second || memory.Len() != 0 {
			t.Errorf("got %+v, %v, %d records", got, err, memory.Len())
		}
	})
}

func TestBenchRefusesOptionsThatCannotBe(t *testing.T) {
	t.Parallel()

	for _, opts := range []operate.BenchOptions{{Duration: -1}, {Callers: -1}, {Outcome: -1}} {
		if _, err := operate.Bench(t.Context(), memstore.New(), opts); err == nil {
			t.Errorf("%+v is accepted", opts)
		}
	}
}

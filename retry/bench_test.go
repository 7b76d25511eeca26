package retry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/retry"
)

func BenchmarkDoImmediateSuccess(b *testing.B) {
	budget, err := retry.NewBudget(10, 0.1)
	if err != nil {
		b.Fatal(err)
	}

	policies := map[string]retry.Policy{
		"zero policy":     {},
		"budget":          {Budget: budget},
		"attempt timeout": {AttemptTimeout: time.Second},
	}

	op := func(_ context.Context, attempt int) (int, error) { return attempt, nil }

	for name, p := range policies {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()

			for b.Loop() {
				if _, err := retry.Do(b.Context(), p, retry.Options{}, op); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDoOneRetry(b *testing.B) {
	b.ReportAllocs()

	errUnavailable := errors.New("unavailable")
	o := retry.Options{Classify: func(retry.Attempt) retry.Decision {
		return retry.Decision{Retry: true, HasDelay: true}
	}}
	op := func(_ context.Context, attempt int) (int, error) {
		if attempt == 1 {
			return 0, errUnavailable
		}

		return attempt, nil
	}

	for b.Loop() {
		if _, err := retry.Do(b.Context(), retry.Policy{}, o, op); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBudgetParallel(b *testing.B) {
	budget, err := retry.NewBudget(1e6, 1)
	if err != nil {
		b.Fatal(err)
	}

	errUnavailable := errors.New("unavailable")
	p := retry.Policy{MaxAttempts: 1, Budget: budget}

	b.RunParallel(func(pb *testing.PB) {
		for fail := false; pb.Next(); fail = !fail {
			_, _ = retry.Do(b.Context(), p, retry.Options{}, func(context.Context, int) (int, error) {
				if fail {
					return 0, errUnavailable
				}

				return 0, nil
			})
		}
	})
}

func TestImmediateSuccessAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	op := func(_ context.Context, attempt int) (int, error) { return attempt, nil }

	allocs := testing.AllocsPerRun(100, func() {
		_, _ = retry.Do(ctx, retry.Policy{}, retry.Options{}, op)
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}

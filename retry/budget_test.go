package retry_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onlyonce-go/onlyonce/retry"
)

func mustBudget(t *testing.T, maxTokens, ratio float64) *retry.Budget {
	t.Helper()

	b, err := retry.NewBudget(maxTokens, ratio)
	if err != nil {
		t.Fatal(err)
	}

	return b
}

// spend makes one call under b. All its attempts return err. It returns the number of attempts.
func spend(t *testing.T, b *retry.Budget, err error, attempts int) int {
	t.Helper()

	made := 0
	p := retry.Policy{MaxAttempts: attempts, BaseDelay: 1, Budget: b}

	_, got := retry.Do(t.Context(), p, retry.Options{}, func(context.Context, int) (int, error) {
		made++

		return 0, err
	})
	if (got == nil) != (err == nil) {
		t.Fatalf("Do returned %v, want an error as in %v", got, err)
	}

	return made
}

func TestNewBudgetNamesEveryProblem(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		maxTokens, ratio float64
		want             []string
	}{
		"as in the specification": {10, 0.1, nil},
		"smallest":                {0.001, 0.001, nil},
		"largest":                 {1e9, 1e9, nil},
		"no tokens":               {0, 0.1, []string{"maxTokens"}},
		"no ratio":                {10, 0, []string{"ratio"}},
		"negative":                {-1, -1, []string{"maxTokens", "ratio"}},
		"not a number":            {math.NaN(), math.NaN(), []string{"maxTokens", "ratio"}},
		"infinite":                {math.Inf(1), math.Inf(1), []string{"maxTokens", "ratio"}},
		"too fine":                {10, 0.0004, []string{"ratio"}},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			b, err := retry.NewBudget(test.maxTokens, test.ratio)
			if len(test.want) == 0 {
				if err != nil || b.Tokens() != test.maxTokens {
					t.Fatalf("got %v, %v, want a full budget", b, err)
				}

				return
			}

			if b != nil || err == nil {
				t.Fatalf("got %v, %v, want only an error", b, err)
			}

			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %s", err, want)
				}
			}
		})
	}
}

func TestBudgetFollowsTheBookkeepingOfA6(t *testing.T) {
	t.Parallel()

	b := mustBudget(t, 4, 1.6)

	steps := []struct {
		err    error
		tokens float64
		made   int
	}{
		{errFirst, 2, 2},                  // 4 -> 3 retry -> 2 at the threshold
		{nil, 3.6, 1},                     // + 1.6
		{nil, 4, 1},                       // never above the maximum
		{retry.Permanent(errFirst), 4, 1}, // no statement about the server
		{errFirst, 2, 2},
		{errFirst, 1, 1},
		{errFirst, 0, 1},
		{errFirst, 0, 1}, // never below zero
		{nil, 1.6, 1},
		{nil, 3.2, 1},
		{errFirst, 1.2, 2}, // 2.2 is above 2
	}

	for i, step := range steps {
		made := spend(t, b, step.err, 9)
		if made != step.made || b.Tokens() != step.tokens {
			t.Fatalf("step %d: %d attempts and %v tokens, want %d and %v",
				i, made, b.Tokens(), step.made, step.tokens)
		}
	}
}

func TestBudgetDoesNotDriftAwayFromTheThreshold(t *testing.T) {
	t.Parallel()

	b := mustBudget(t, 10, 0.1)
	for b.Tokens() > 4 {
		spend(t, b, errFirst, 1)
	}

	for range 20 { // 4 + 20 * 0.1 = 6; a failure then leaves 5, not above half
		spend(t, b, nil, 1)
	}

	if made := spend(t, b, errFirst, 2); made != 1 || b.Tokens() != 5 {
		t.Errorf("%d attempts and %v tokens, want 1 and exactly 5", made, b.Tokens())
	}
}

func TestFailureOfTheLastAllowedAttemptTakesAToken(t *testing.T) {
	t.Parallel()

	b := mustBudget(t, 10, 0.1)
	spend(t, b, errFirst, 1)

	if b.Tokens() != 9 {
		t.Errorf("%v tokens, want 9", b.Tokens())
	}
}

func TestCancelledAttemptTakesNoToken(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancel(t.Context())
	b := mustBudget(t, 10, 0.1)

	_, err := retry.Do(ctx, retry.Policy{Budget: b}, retry.Options{}, func(ctx context.Context, _ int) (int, error) {
		cancel()

		return 0, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || b.Tokens() != 10 {
		t.Errorf("error %v and %v tokens, want context.Canceled and 10", err, b.Tokens())
	}
}

func TestZeroBudgetAllowsNoRetry(t *testing.T) {
	t.Parallel()

	if made := spend(t, new(retry.Budget), errFirst, 3); made != 1 {
		t.Errorf("%d attempts, want 1", made)
	}
}

func TestBudgetReportsItsStop(t *testing.T) {
	t.Parallel()

	s := play(failing(errFirst))
	p := retry.Policy{Budget: mustBudget(t, 2, 1)} // one failure leaves half
	o := s.options(0)

	if _, err := retry.Do(t.Context(), p, o, s.op); !errors.Is(err, errFirst) {
		t.Errorf("error %v, want %v", err, errFirst)
	}

	want := []retry.Stop{retry.StopBudget}
	if diff := cmp.Diff(want, stops(s)); diff != "" {
		t.Errorf("stops (-want +got):\n%s", diff)
	}
}

func TestBudgetLosesNoTokenUnderConcurrency(t *testing.T) {
	t.Parallel()

	const callers, calls = 4, 20_000 // enough to collide on two processors

	b := mustBudget(t, 2*callers*calls, 0.5)

	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range calls {
				spend(t, b, errFirst, 1)
			}
		})
	}

	all.Wait()

	if want := float64(callers * calls); b.Tokens() != want {
		t.Fatalf("%v tokens after the failures, want %v", b.Tokens(), want)
	}

	for range callers {
		all.Go(func() {
			for range calls {
				spend(t, b, nil, 1)
			}
		})
	}

	all.Wait()

	if want := float64(callers*calls) * 1.5; b.Tokens() != want {
		t.Errorf("%v tokens after the successes, want %v", b.Tokens(), want)
	}
}

func TestBudgetBoundsAllCallsTogether(t *testing.T) {
	t.Parallel()

	const callers = 32

	b := mustBudget(t, 100, 0.1)
	made := make([]int, callers)

	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { made[i] = spend(t, b, errFirst, 1000) })
	}

	all.Wait()

	retries := -callers
	for _, n := range made {
		retries += n
	}

	// Each failure takes a whole token. More than 50 of the 100 tokens are left after each of the first 49 failures,
	// which makes exactly 49 retries.
	if retries != 49 {
		t.Errorf("%d retries, want 49", retries)
	}
}

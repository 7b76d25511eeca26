package retry_test

import (
	"context"
	"testing"

	"github.com/onlyonce-go/onlyonce/retry"
)

// F79: a free failure takes no token, and is retried although no tokens are left.
func TestF79FreeFailureTakesNoTokenAndNeedsNone(t *testing.T) {
	t.Parallel()

	for _, tokens := range []float64{10, 0} {
		b := mustBudget(t, 10, 0.1)
		for b.Tokens() > tokens {
			spend(t, b, errFirst, 1)
		}

		made := 0
		free := retry.Options{Classify: func(retry.Attempt) retry.Decision { return retry.Decision{Retry: true, Free: true} }}

		_, err := retry.Do(t.Context(), retry.Policy{MaxAttempts: 20, BaseDelay: 1, Budget: b}, free, func(context.Context, int) (int, error) {
			made++

			return 0, errFirst
		})
		if err == nil || made != 20 || b.Tokens() != tokens {
			t.Errorf("%d attempts, and %v of %v tokens are left; %v", made, b.Tokens(), tokens, err)
		}
	}
}

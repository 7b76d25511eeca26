package retry_test

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/retry"
)

func TestStopNamesAreStable(t *testing.T) {
	t.Parallel()

	names := map[retry.Stop]string{
		retry.StopNone:         "none",
		retry.StopSuccess:      "success",
		retry.StopNotRetryable: "not-retryable",
		retry.StopAttempts:     "attempts",
		retry.StopBudget:       "budget",
		retry.StopDeadline:     "deadline",
		retry.StopCancelled:    "cancelled",
		retry.StopElapsed:      "elapsed",
		retry.Stop(42):         "Stop(42)",
		retry.Stop(-1):         "Stop(-1)",
	}

	for stop, want := range names {
		if got := stop.String(); got != want {
			t.Errorf("Stop(%d).String() = %q, want %q", int(stop), got, want)
		}
	}
}

func stops(s *script) []retry.Stop {
	all := make([]retry.Stop, 0, len(s.observed))
	for _, a := range s.observed {
		all = append(all, a.Stop)
	}

	return all
}

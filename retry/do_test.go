package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onlyonce-go/onlyonce/retry"
)

func TestFirstSuccessEndsTheCall(t *testing.T) {
	t.Parallel()

	s := play(failing(errFirst), failing(errSecond), succeed)

	got, err := retry.Do(t.Context(), retry.Policy{BaseDelay: 1}, retry.Options{Observe: s.observe}, s.op)
	if got != 3 || err != nil {
		t.Errorf("Do = %d, %v, want the value of attempt 3", got, err)
	}

	want := []retry.Stop{retry.StopNone, retry.StopNone, retry.StopSuccess}
	if diff := cmp.Diff(want, stops(s)); diff != "" {
		t.Errorf("stops (-want +got):\n%s", diff)
	}
}

func TestMaxAttemptsCountsTheFirst(t *testing.T) {
	t.Parallel()

	for attempts, want := range map[int]int{0: 5, 1: 1, 2: 2, 7: 7} {
		s := play(failing(errFirst))

		got, err := retry.Do(t.Context(), retry.Policy{MaxAttempts: attempts}, s.options(0), s.op)
		if got != 0 || !errors.Is(err, errFirst) {
			t.Errorf("Do = %d, %v, want the zero value and %v", got, err, errFirst)
		}

		if a := s.last(); len(s.starts) != want || a.Number != want || a.Stop != retry.StopAttempts {
			t.Errorf("MaxAttempts %d: %d attempts, last %+v, want %d", attempts, len(s.starts), a, want)
		}
	}
}

func TestLastErrorIsReturned(t *testing.T) {
	t.Parallel()

	s := play(failing(errFirst), failing(errSecond))

	_, err := retry.Do(t.Context(), retry.Policy{MaxAttempts: 2}, s.options(0), s.op)
	if err != errSecond { //nolint:errorlint // identity is the point
		t.Errorf("Do returned %v, want %v", err, errSecond)
	}
}

func TestInvalidPolicyRunsNothing(t *testing.T) {
	t.Parallel()

	p := retry.Policy{MaxAttempts: -1}
	s := play(succeed)

	_, err := retry.Do(t.Context(), p, retry.Options{Observe: s.observe}, s.op)
	if err == nil || err.Error() != p.Validate().Error() {
		t.Errorf("Do returned %v, want %v", err, p.Validate())
	}

	if s.starts != nil || s.observed != nil {
		t.Error("the operation ran")
	}
}

func TestEndedContextRunsNothing(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOwn)

	s := play(succeed)

	_, err := retry.Do(ctx, retry.Policy{}, retry.Options{Observe: s.observe}, s.op)
	if err != errOwn { //nolint:errorlint // identity is the point
		t.Errorf("Do returned %v, want %v", err, errOwn)
	}

	if s.starts != nil || s.observed != nil {
		t.Error("the operation ran")
	}
}

func TestClassifiersDelayReplacesTheBackoff(t *testing.T) {
	t.Parallel()

	tests := map[string]struct{ given, want time.Duration }{
		"exact":          {1234 * time.Millisecond, 1234 * time.Millisecond},
		"above MaxDelay": {time.Minute, time.Minute},
		"zero":           {0, 0},
		"negative":       {-time.Hour, 0},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := play(after(time.Second, errFirst), after(2*time.Second, errSecond), succeed)

				if _, err := retry.Do(t.Context(), retry.Policy{}, s.options(test.given), s.op); err != nil {
					t.Fatal(err)
				}

				starts := []time.Duration{0, time.Second + test.want, 3*time.Second + 2*test.want}
				if diff := cmp.Diff(starts, s.starts); diff != "" {
					t.Errorf("starts (-want +got):\n%s", diff)
				}

				attempts := []retry.Attempt{
					{Number: 1, Err: errFirst, Elapsed: time.Second, Delay: test.want},
					{Number: 2, Err: errSecond, Elapsed: 2 * time.Second, Delay: test.want},
					{Number: 3, Stop: retry.StopSuccess},
				}
				if diff := cmp.Diff(attempts, s.observed, cmpopts.EquateErrors()); diff != "" {
					t.Errorf("attempts (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestDelayIsIgnoredWithoutHasDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := play(failing(errFirst), succeed)
		o := retry.Options{Classify: func(retry.Attempt) retry.Decision {
			return retry.Decision{Retry: true, Delay: time.Hour}
		}}

		if _, err := retry.Do(t.Context(), retry.Policy{}, o, s.op); err != nil {
			t.Fatal(err)
		}

		if s.starts[1] >= 50*time.Millisecond {
			t.Errorf("second attempt after %v, want less than 50ms", s.starts[1])
		}
	})
}

func TestBackoffGrowsUnderItsBoundAndIsSleptExactly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := retry.Policy{MaxAttempts: 16, BaseDelay: 10 * time.Millisecond, MaxDelay: 30 * time.Second}
		s := play(failing(errFirst))

		if _, err := retry.Do(t.Context(), p, retry.Options{Observe: s.observe}, s.op); !errors.Is(err, errFirst) {
			t.Fatal(err)
		}

		for i, start := range s.starts[1:] {
			gap, bound := start-s.starts[i], p.Backoff(i+1, almostOne)
			if gap > bound || gap != s.observed[i].Delay {
				t.Errorf("retry %d after %v, observed %v, want both the same and at most %v",
					i+1, gap, s.observed[i].Delay, bound)
			}
		}
	})
}

func TestBackoffIsJittered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := retry.Policy{MaxAttempts: 100, BaseDelay: time.Hour, MaxDelay: time.Hour}
		s := play(failing(errFirst))

		if _, err := retry.Do(t.Context(), p, retry.Options{Observe: s.observe}, s.op); !errors.Is(err, errFirst) {
			t.Fatal(err)
		}

		// Of 99 uniform delays, some lie in the lowest and some in the highest quarter. One run in 10^12 is an exception.
		low, high := time.Hour, time.Duration(0)
		for _, a := range s.observed[:99] {
			low, high = min(low, a.Delay), max(high, a.Delay)
		}

		if low > 15*time.Minute || high < 45*time.Minute {
			t.Errorf("delays from %v to %v, want them spread over an hour", low, high)
		}
	})
}

func TestClassifySeesAFailedAttemptBeforeItsVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []retry.Attempt

		s := play(after(time.Second, errFirst), after(time.Minute, errSecond))
		o := retry.Options{Classify: func(a retry.Attempt) retry.Decision {
			seen = append(seen, a)

			return retry.Decision{Retry: a.Number == 1}
		}}

		if _, err := retry.Do(t.Context(), retry.Policy{}, o, s.op); !errors.Is(err, errSecond) {
			t.Errorf("Do returned %v, want %v", err, errSecond)
		}

		want := []retry.Attempt{
			{Number: 1, Err: errFirst, Elapsed: time.Second},
			{Number: 2, Err: errSecond, Elapsed: time.Minute},
		}
		if diff := cmp.Diff(want, seen, cmpopts.EquateErrors()); diff != "" {
			t.Errorf("classified (-want +got):\n%s", diff)
		}
	})
}

func TestTimeOfTheObserverCountsTowardsTheDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := play(failing(errFirst), failing(errSecond), succeed)
		o := s.options(time.Second)
		o.Observe = func(a retry.Attempt) { time.Sleep(time.Duration(a.Number) * 700 * time.Millisecond) }

		if _, err := retry.Do(t.Context(), retry.Policy{}, o, s.op); err != nil {
			t.Fatal(err)
		}

		// The second observation takes longer than the delay.
		want := []time.Duration{0, time.Second, 2400 * time.Millisecond}
		if diff := cmp.Diff(want, s.starts); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	})
}

func TestSuccessAfterTheCallerHasGoneIsASuccess(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancel(t.Context())
	s := play(func(context.Context) error {
		cancel()

		return nil
	})

	if got, err := retry.Do(ctx, retry.Policy{}, retry.Options{Observe: s.observe}, s.op); got != 1 || err != nil {
		t.Errorf("Do = %d, %v, want 1", got, err)
	}

	if s.last().Stop != retry.StopSuccess {
		t.Errorf("stop %v, want %v", s.last().Stop, retry.StopSuccess)
	}
}

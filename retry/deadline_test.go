package retry_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlyonce-go/onlyonce/retry"
)

func TestDoNeverSleepsUpToTheDeadline(t *testing.T) {
	t.Parallel()

	const deadline = 10 * time.Second

	tests := map[string]struct {
		delay time.Duration
		took  time.Duration // until Do returned
		stop  retry.Stop
	}{
		"well before": {time.Second, 9 * time.Second, retry.StopAttempts},
		// The second attempt runs over the deadline, deaf, and fails for a reason of its own.
		"a nanosecond less": {9*time.Second - 1, 11*time.Second - 1, retry.StopCancelled},
		"exactly at":        {9 * time.Second, time.Second, retry.StopDeadline},
		"past":              {time.Hour, time.Second, retry.StopDeadline},
		"no overflow":       {math.MaxInt64, time.Second, retry.StopDeadline},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()

				s := play(after(time.Second, errFirst))
				began := time.Now()

				_, err := retry.Do(ctx, retry.Policy{}, s.options(test.delay), s.op)
				if err != errFirst { //nolint:errorlint // identity is the point
					t.Errorf("Do returned %v, want %v itself", err, errFirst)
				}

				if took := time.Since(began); took != test.took || s.last().Stop != test.stop || s.last().Delay != 0 {
					t.Errorf("returned after %v with %+v, want %v and %v", took, s.last(), test.took, test.stop)
				}
			})
		})
	}
}

func TestMaxElapsedBoundsTheStartOfAttempts(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		maxElapsed time.Duration
		starts     []time.Duration
	}{
		"below the first retry": {5*time.Second - 1, []time.Duration{0}},
		"exactly at it":         {5 * time.Second, []time.Duration{0, 5 * time.Second}},
		"between":               {14 * time.Second, []time.Duration{0, 5 * time.Second, 10 * time.Second}},
		"shorter than a run":    {1, []time.Duration{0}},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := play(after(2*time.Second, errFirst))
				began := time.Now()

				_, err := retry.Do(t.Context(), retry.Policy{MaxElapsed: test.maxElapsed}, s.options(3*time.Second), s.op)
				if !errors.Is(err, errFirst) || s.last().Stop != retry.StopElapsed {
					t.Errorf("Do returned %v, %+v, want %v and %v", err, s.last(), errFirst, retry.StopElapsed)
				}

				if diff := cmp.Diff(test.starts, s.starts); diff != "" {
					t.Errorf("starts (-want +got):\n%s", diff)
				}

				if took := time.Since(began); took != test.starts[len(test.starts)-1]+2*time.Second {
					t.Errorf("returned after %v, want no sleep after the last attempt", took)
				}
			})
		})
	}
}

func TestNoAttemptStartsAfterMaxElapsedEvenIfTheWaitTookTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := play(failing(errFirst), succeed)
		o := s.options(time.Second)
		o.Observe = func(retry.Attempt) { time.Sleep(time.Minute) } // as late as a machine that was stopped

		_, err := retry.Do(t.Context(), retry.Policy{MaxElapsed: 10 * time.Second}, o, s.op)
		if err != errFirst || len(s.starts) != 1 { //nolint:errorlint // identity is the point
			t.Errorf("Do returned %v after %d attempts, want %v after 1", err, len(s.starts), errFirst)
		}
	})
}

// lateTimer is a context whose deadline has a clock but whose timer never fires in time.
type lateTimer struct {
	context.Context

	deadline time.Time
}

func (c lateTimer) Deadline() (time.Time, bool) { return c.deadline, true }

func TestDeadlineCountsByTheClockWhereTheTimerIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := lateTimer{t.Context(), time.Now().Add(3 * time.Second)}
		s := play(failing(errFirst), after(2*time.Second, context.DeadlineExceeded))

		_, err := retry.Do(ctx, retry.Policy{}, s.options(time.Second), s.op)
		if !errors.Is(err, errFirst) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do returned %v, want both errors", err)
		}

		if s.last().Number != 2 || s.last().Stop != retry.StopCancelled {
			t.Errorf("last attempt %+v, want the second, cancelled", s.last())
		}
	})
}

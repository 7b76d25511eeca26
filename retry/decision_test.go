package retry_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/retry"
)

// A classification may shorten the time in which attempts begin, for the rest of the call, and never lengthen it.
func TestDecisionShortensMaxElapsed(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		policy    time.Duration
		decisions []time.Duration // one after each attempt, the last one again and again
		attempts  int             // one each second
	}{
		"where there is none":     {0, []time.Duration{2 * time.Second}, 3},
		"where it is longer":      {5 * time.Second, []time.Duration{2 * time.Second}, 3},
		"not where it is shorter": {2 * time.Second, []time.Duration{5 * time.Second}, 3},
		"zero changes nothing":    {2 * time.Second, []time.Duration{0}, 3},
		"for the rest of a call":  {0, []time.Duration{3 * time.Second, 0, 9 * time.Second}, 4},
		"at once":                 {0, []time.Duration{time.Nanosecond}, 1},
		"later":                   {9 * time.Second, []time.Duration{0, 0, time.Second}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := play(after(0, errFirst))
				options := s.options(time.Second)
				decide := options.Classify

				options.Classify = func(a retry.Attempt) retry.Decision {
					d := decide(a)
					d.MaxElapsed = tt.decisions[min(a.Number, len(tt.decisions))-1]

					return d
				}

				_, _ = retry.Do(t.Context(), retry.Policy{MaxElapsed: tt.policy, MaxAttempts: 20}, options, s.op)

				if last := s.last(); last.Number != tt.attempts || last.Stop != retry.StopElapsed {
					t.Errorf("the last attempt is %+v, want number %d, and to stop for the time", last, tt.attempts)
				}
			})
		})
	}
}

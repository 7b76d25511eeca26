package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/jobs"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBank = errors.New("the bank does not answer")

func TestErrorDecidesWhatBecomesOfAJob(t *testing.T) {
	for name, test := range map[string]struct {
		pay         error
		first, next jobs.Next
		runs        int
	}{
		"paid":                              {nil, jobs.Done, jobs.Done, 1},
		"ambiguous":                         {errBank, jobs.Retry, jobs.Later, 1},
		"final":                             {onlyonce.Final(errBank), jobs.Dead, jobs.Dead, 1},
		"not executed":                      {onlyonce.NotExecuted(errBank), jobs.Retry, jobs.Retry, 2},
		"another service refused":           {&onlyonce.Rejection{Reason: onlyonce.ReasonKeyInvalid}, jobs.Retry, jobs.Later, 1},
		"another service is not up to date": {&onlyonce.Rejection{RetryAfter: time.Hour}, jobs.Retry, jobs.Later, 1},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			payouts := newPayouts(t, func(context.Context, time.Time) error {
				runs++

				return test.pay
			})

			day := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)

			for _, want := range []jobs.Next{test.first, test.next} {
				_, err := payouts.Run(t.Context(), day)

				next, delay := jobs.After(err)
				if next != want || (delay > 0) != (want == jobs.Later) {
					t.Errorf("after %v: %d in %s, want %d", err, next, delay, want)
				}
			}

			if runs != test.runs {
				t.Errorf("ran %d times, want %d", runs, test.runs)
			}
		})
	}
}

func TestJobWithoutAKeyIsDead(t *testing.T) {
	_, err := newPayouts(t, nil).Engine.Do(t.Context(), onlyonce.Call{Method: "payout"}, nil)

	if next, _ := jobs.After(err); next != jobs.Dead {
		t.Errorf("after %v: %d", err, next)
	}
}

// Only the first call gets the result.
func TestJobWhoseResultIsTooLargeToKeepIsDone(t *testing.T) {
	for _, test := range []struct {
		err         error
		first, next jobs.Next
	}{{nil, jobs.Done, jobs.Done}, {onlyonce.Final(errors.New(strings.Repeat("x", 100))), jobs.Dead, jobs.Dead}} {
		call := onlyonce.Call{Method: "report", Key: "2026-11-29", Policy: &onlyonce.Policy{MaxOutcome: 10}}
		engine := newPayouts(t, nil).Engine

		for _, want := range []jobs.Next{test.first, test.next} {
			_, err := engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return make([]byte, 100), test.err })

			if next, _ := jobs.After(err); next != want {
				t.Errorf("after %v: %d, want %d", err, next, want)
			}
		}
	}
}

func newPayouts(t *testing.T, pay func(context.Context, time.Time) error) *jobs.Payouts {
	t.Helper()

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithPolicy(jobs.Policy()), onlyonce.WithObserver(nil))
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

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

func TestAttemptTimeoutEndsOneAttemptAndIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var cause error

		s := play(
			func(ctx context.Context) error {
				err := hang(ctx)
				cause = context.Cause(ctx)

				return err
			},
			after(time.Second, nil),
		)
		p := retry.Policy{AttemptTimeout: 3 * time.Second, BaseDelay: 1}

		got, err := retry.Do(t.Context(), p, retry.Options{Observe: s.observe}, s.op)
		if got != 2 || err != nil {
			t.Errorf("Do = %d, %v, want the value of attempt 2", got, err)
		}

		if !errors.Is(cause, retry.ErrAttemptTimeout) {
			t.Errorf("cause %v, want %v", cause, retry.ErrAttemptTimeout)
		}

		want := []retry.Attempt{
			{Number: 1, Err: context.DeadlineExceeded, Elapsed: 3 * time.Second, TimedOut: true},
			{Number: 2, Elapsed: time.Second, Stop: retry.StopSuccess},
		}
		if diff := cmp.Diff(want, s.observed, cmpopts.EquateErrors()); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
}

func TestAttemptTimeoutIsNotTheCallersDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		s := play(failing(errFirst), hang)
		p := retry.Policy{AttemptTimeout: time.Second, MaxAttempts: 3}

		_, err := retry.Do(ctx, p, s.options(time.Second), s.op)
		if err != context.DeadlineExceeded { //nolint:errorlint // an InterruptedError would be wrong
			t.Errorf("Do returned %v, want the operation's own error", err)
		}

		want := []retry.Stop{retry.StopNone, retry.StopNone, retry.StopAttempts}
		if diff := cmp.Diff(want, stops(s)); diff != "" {
			t.Errorf("stops (-want +got):\n%s", diff)
		}
	})
}

func TestTimedOutOnlyIfTheAttemptTimeoutEndedAFailure(t *testing.T) {
	t.Parallel()

	const timeout = 5 * time.Second

	tests := map[string]struct {
		deadline time.Duration // of the caller; 0 is none
		step     func(context.Context) error
		want     bool
	}{
		"timeout":                          {0, hang, true},
		"timeout before caller's deadline": {timeout + 1, hang, true},
		"caller's deadline at the timeout": {timeout, hang, false},
		"caller's deadline before":         {timeout - 1, hang, false},
		"failed before":                    {0, after(timeout-1, errFirst), false},
		"failed late":                      {0, after(timeout+1, errFirst), true},
		"succeeded late":                   {0, after(timeout+1, nil), false},
		"both over":                        {timeout + 1, after(time.Minute, errFirst), false},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()

				if test.deadline > 0 {
					var cancel context.CancelFunc

					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}

				s := play(test.step)
				p := retry.Policy{AttemptTimeout: timeout, MaxAttempts: 1}
				_, _ = retry.Do(ctx, p, retry.Options{Observe: s.observe}, s.op)

				if s.last().TimedOut != test.want {
					t.Errorf("attempt %+v, want TimedOut %t", s.last(), test.want)
				}
			})
		})
	}
}

func TestNoTimerWhereTheCallersDeadlineComesFirst(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	_, err := retry.Do(ctx, retry.Policy{AttemptTimeout: time.Hour}, retry.Options{},
		func(attempt context.Context, _ int) (int, error) {
			if attempt != ctx {
				t.Error("the attempt has a context of its own")
			}

			return 0, nil
		})
	if err != nil {
		t.Error(err)
	}
}

func TestContextOfAnAttemptEndsWithIt(t *testing.T) {
	t.Parallel()

	ends := map[string]func(){
		"return": func() {},
		"panic":  func() { panic("broken") },
	}

	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reason := make(chan error, 1)

				func() {
					defer func() { _ = recover() }()

					p := retry.Policy{AttemptTimeout: time.Hour}
					_, _ = retry.Do(t.Context(), p, retry.Options{}, func(ctx context.Context, _ int) (int, error) {
						context.AfterFunc(ctx, func() { reason <- ctx.Err() })
						end()

						return 0, nil
					})
				}()

				// A timer left running would end the context with its deadline.
				if err := <-reason; !errors.Is(err, context.Canceled) {
					t.Errorf("the attempt's context ended with %v, want it cancelled", err)
				}
			})
		})
	}
}

func TestPanicPassesThrough(t *testing.T) {
	t.Parallel()

	defer func() {
		if got := recover(); got != "broken" {
			t.Errorf("recovered %v, want the panic of the operation", got)
		}
	}()

	_, _ = retry.Do(t.Context(), retry.Policy{}, retry.Options{}, func(context.Context, int) (int, error) {
		panic("broken")
	})
}

func TestAttemptTimeoutIsADeadline(t *testing.T) {
	t.Parallel()

	if !errors.Is(retry.ErrAttemptTimeout, context.DeadlineExceeded) {
		t.Error("ErrAttemptTimeout does not wrap context.DeadlineExceeded")
	}
}

package retry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlyonce-go/onlyonce/retry"
)

// wantInterrupted checks that err reports both the last error and the end of the context.
func wantInterrupted(t *testing.T, err, last, cause, end error) {
	t.Helper()

	interrupted, ok := errors.AsType[*retry.InterruptedError](err)
	if !ok {
		t.Fatalf("Do returned %v, want an InterruptedError", err)
	}

	if interrupted.Err != last || interrupted.Cause != cause { //nolint:errorlint // identity is the point
		t.Errorf("Err %v, Cause %v, want %v and %v", interrupted.Err, interrupted.Cause, last, cause)
	}

	for _, target := range []error{last, cause, end} {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is does not find %v in %v", target, err)
		}
	}

	if text := err.Error(); !strings.Contains(text, last.Error()) || !strings.Contains(text, cause.Error()) {
		t.Errorf("%q does not name both %q and %q", text, last, cause)
	}
}

func TestCancelDuringTheDelayReturnsAtOnceWithBothErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := play(failing(errFirst), succeed)
		began := time.Now()

		time.AfterFunc(time.Second, func() { cancel(errOwn) })

		_, err := retry.Do(ctx, retry.Policy{}, s.options(time.Hour), s.op)
		wantInterrupted(t, err, errFirst, errOwn, context.Canceled)

		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("a cancelled context is taken for one past its deadline")
		}

		if took := time.Since(began); took != time.Second || len(s.starts) != 1 {
			t.Errorf("returned after %v and %d attempts, want 1s and 1", took, len(s.starts))
		}

		if want := (retry.Attempt{Number: 1, Err: errFirst, Delay: time.Hour}); s.last() != want {
			t.Errorf("observed %+v, want %+v", s.last(), want)
		}
	})
}

func TestCancelBetweenAttemptsStopsEvenWithoutADelay(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancel(t.Context())
	s := play(failing(errFirst), succeed)
	o := s.options(0)
	o.Observe = func(retry.Attempt) { cancel() }

	_, err := retry.Do(ctx, retry.Policy{}, o, s.op)
	wantInterrupted(t, err, errFirst, context.Canceled, context.Canceled)

	if len(s.starts) != 1 {
		t.Errorf("%d attempts, want 1", len(s.starts))
	}
}

func TestDeadlineDuringALaterAttemptKeepsTheEarlierError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()

		s := play(failing(errFirst), failing(errSecond), hang)

		_, err := retry.Do(ctx, retry.Policy{}, s.options(time.Second), s.op)
		wantInterrupted(t, err, errSecond, context.DeadlineExceeded, context.DeadlineExceeded)

		want := []retry.Stop{retry.StopNone, retry.StopNone, retry.StopCancelled}
		if diff := cmp.Diff(want, stops(s)); diff != "" {
			t.Errorf("stops (-want +got):\n%s", diff)
		}
	})
}

func TestCauseOfTheCallerIsRecognisedInALaterAttempt(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancelCause(t.Context())
	s := play(failing(errFirst), func(ctx context.Context) error {
		cancel(errOwn)

		return context.Cause(ctx)
	})

	_, err := retry.Do(ctx, retry.Policy{}, s.options(0), s.op)
	wantInterrupted(t, err, errFirst, errOwn, context.Canceled)
}

func TestFirstAttemptsOwnErrorIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		s := play(hang)

		_, err := retry.Do(ctx, retry.Policy{}, s.options(0), s.op)
		if err != context.DeadlineExceeded { //nolint:errorlint // identity is the point
			t.Errorf("Do returned %v, want %v itself", err, context.DeadlineExceeded)
		}

		if s.last().Stop != retry.StopCancelled {
			t.Errorf("stop %v, want %v", s.last().Stop, retry.StopCancelled)
		}
	})
}

// An answer that arrives together with the caller's cancellation is still the answer.
func TestErrorOfItsOwnIsNotHiddenByTheEndOfTheContext(t *testing.T) {
	t.Parallel()

	verdicts := map[bool]retry.Stop{true: retry.StopCancelled, false: retry.StopNotRetryable}

	for retryable, stop := range verdicts {
		ctx, cancel := context.WithCancel(t.Context())
		s := play(failing(errFirst), func(context.Context) error {
			cancel()

			return errSecond
		})
		o := s.options(0)
		o.Classify = func(a retry.Attempt) retry.Decision {
			return retry.Decision{Retry: a.Number == 1 || retryable, HasDelay: true}
		}

		_, err := retry.Do(ctx, retry.Policy{}, o, s.op)
		if err != errSecond { //nolint:errorlint // identity is the point
			t.Errorf("Do returned %v, want %v itself", err, errSecond)
		}

		if s.last().Stop != stop || s.last().Number != 2 {
			t.Errorf("last attempt %+v, want the second, %v", s.last(), stop)
		}
	}
}

func TestInterruptedRecognisesForeignErrors(t *testing.T) {
	t.Parallel()

	errStatus := errors.New("status: cancelled")
	asked := 0

	ctx, cancel := context.WithCancel(t.Context())
	s := play(failing(errFirst), func(context.Context) error {
		cancel()

		return errStatus
	})
	o := s.options(0)
	o.Interrupted = func(err error) bool {
		asked++

		return errors.Is(err, errStatus)
	}

	_, err := retry.Do(ctx, retry.Policy{}, o, s.op)
	wantInterrupted(t, err, errFirst, context.Canceled, context.Canceled)

	if asked != 1 {
		t.Errorf("Interrupted was asked %d times, want once, after the context had ended", asked)
	}
}

package retry_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/onlyonce-go/onlyonce/retry"
)

func TestPermanentEndsTheCallAndIsTakenOff(t *testing.T) {
	t.Parallel()

	wrapped := fmt.Errorf("outside: %w", retry.Permanent(errFirst))

	tests := map[string]struct{ err, want error }{
		"marked":       {retry.Permanent(errFirst), errFirst},
		"marked twice": {retry.Permanent(retry.Permanent(errFirst)), errFirst},
		"mark inside":  {wrapped, wrapped},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := play(failing(test.err), succeed)

			_, err := retry.Do(t.Context(), retry.Policy{}, retry.Options{Observe: s.observe}, s.op)
			if err != test.want { //nolint:errorlint // identity is the point
				t.Errorf("Do returned %#v, want %#v itself", err, test.want)
			}

			if a := s.last(); a.Number != 1 || a.Stop != retry.StopNotRetryable || !retry.IsPermanent(a.Err) {
				t.Errorf("attempt %+v, want the first, not retryable, with its mark", a)
			}
		})
	}
}

func TestMarkIsTransparent(t *testing.T) {
	t.Parallel()

	marked := retry.Permanent(errFirst)
	if marked.Error() != errFirst.Error() || !errors.Is(marked, errFirst) {
		t.Errorf("%v hides %v", marked, errFirst)
	}
}

func TestPermanentOfNothingIsNothing(t *testing.T) {
	t.Parallel()

	if err := retry.Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) = %v", err)
	}

	if retry.IsPermanent(nil) || retry.IsPermanent(errFirst) {
		t.Error("an unmarked error is taken for a marked one")
	}
}

func TestOwnClassificationMayRetryAMarkedError(t *testing.T) {
	t.Parallel()

	s := play(failing(retry.Permanent(errFirst)))

	_, err := retry.Do(t.Context(), retry.Policy{MaxAttempts: 2}, s.options(0), s.op)
	if err != errFirst { //nolint:errorlint // identity is the point
		t.Errorf("Do returned %#v, want %#v itself", err, errFirst)
	}

	if s.last().Number != 2 {
		t.Errorf("%d attempts, want 2", s.last().Number)
	}
}

package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestDoReturnsTheHandlersBodyAndItsReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		first := do(t, e, pay("k"), p.do)
		first.mustBe(t, onlyonce.StatusExecuted, "#1")

		if !first.ExecutedAt.IsZero() {
			t.Errorf("ExecutedAt = %v for a call that was not replayed", first.ExecutedAt)
		}

		ended := time.Now()

		time.Sleep(time.Minute)

		again := do(t, e, pay("k"), p.do)
		again.mustBe(t, onlyonce.StatusReplayed, "#1")

		if !again.ExecutedAt.Equal(ended) {
			t.Errorf("ExecutedAt = %v, want %v", again.ExecutedAt, ended)
		}
	})
}

func TestDoReturnsTheHandlersBodyTogetherWithItsError(t *testing.T) {
	t.Parallel()

	for _, err := range []error{onlyonce.Final(errLine), onlyonce.NotExecuted(errLine), errLine} {
		e := newEngine(t, memstore.New())

		got := do(t, e, pay("k"), func(context.Context) ([]byte, error) { return []byte("half"), err })
		if string(got.Body) != "half" || !errors.Is(got.err, errLine) || got.err.Error() != errLine.Error() {
			t.Errorf("got %q, %v; want both", got.Body, got.err)
		}
	}
}

func TestDoReplaysAFinalErrorAsItsText(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())
	broke := fmt.Errorf("account %d: %w", 7, errLine)

	var p payments

	own := do(t, e, pay("k"), p.failing(onlyonce.Final(broke)))
	own.mustFail(t, onlyonce.StatusExecuted, broke)

	again := do(t, e, pay("k"), p.do)

	recorded, ok := errors.AsType[*onlyonce.RecordedError](again.err)
	if !ok || recorded.Message != broke.Error() || again.err.Error() != broke.Error() || again.Status != onlyonce.StatusReplayed {
		t.Errorf("got %s, %#v; want the text of the error", again.Status, again.err)
	}

	if errors.Is(again.err, errLine) {
		t.Error("the replayed error passes for the handler's own")
	}

	if len(again.Body) != 0 || again.ExecutedAt.IsZero() {
		t.Errorf("the replayed error has the body %q and ExecutedAt %v", again.Body, again.ExecutedAt)
	}

	for name, err := range map[string]error{"own": own.err, "replayed": again.err} {
		if got := onlyonce.VerdictOf(err); got != onlyonce.VerdictFinal {
			t.Errorf("VerdictOf the %s error = %v, want final", name, got)
		}
	}
}

func TestDoTreatsAWrappedMarkAsTheMark(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())

	var p payments

	wrapped := fmt.Errorf("paying: %w", onlyonce.NotExecuted(errLine))

	got := do(t, e, pay("k"), p.failing(wrapped))
	if got.Status != onlyonce.StatusReleased || onlyonce.VerdictOf(got.err) != onlyonce.VerdictNotExecuted ||
		got.err.Error() != wrapped.Error() {
		t.Errorf("got %s, %v, %v", got.Status, got.err, onlyonce.VerdictOf(got.err))
	}
}

func TestDoTakesAMarkOnNoErrorAsSuccess(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())

	var p payments

	do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
		body, err := p.do(ctx)

		return body, onlyonce.NotExecuted(err)
	}).mustBe(t, onlyonce.StatusExecuted, "#1")
	do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
}

func TestDoDoesNotCallAnUnrecordedFinalErrorFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.broken(lostRequest, opComplete)

		got := do(t, e, pay("k"), new(payments).failing(onlyonce.Final(errLine)))
		got.mustFail(t, onlyonce.StatusUnrecorded, errLine)

		if outcome := onlyonce.VerdictOf(got.err); outcome != onlyonce.VerdictUnknown {
			t.Errorf("VerdictOf = %v, want unknown: nothing is recorded", outcome)
		}

		s.broken(nil, opComplete)

		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestF35BadKeyIsRefusedBeforeTheStoreIsCalled(t *testing.T) {
	t.Parallel()

	s := newFaultStore()
	e := newEngine(t, s)

	var p payments

	for _, key := range []string{"a b", "ü", "a\n", string(make([]byte, 10)), fmt.Sprintf("%0256d", 1)} {
		got := do(t, e, pay(key), p.do)
		got.mustBeRejected(t, onlyonce.ReasonKeyInvalid)

		if outcome := onlyonce.VerdictOf(got.err); outcome != onlyonce.VerdictFinal {
			t.Errorf("VerdictOf = %v, want final", outcome)
		}
	}

	p.mustHaveRun(t, 0)

	if n := s.count(opClaim); n != 0 {
		t.Errorf("%d claims were sent", n)
	}
}

func TestOutcomeOfForeignErrors(t *testing.T) {
	t.Parallel()

	if got := onlyonce.VerdictOf(nil); got != onlyonce.VerdictFinal {
		t.Errorf("VerdictOf(nil) = %v", got)
	}

	if got := onlyonce.VerdictOf(errLine); got != onlyonce.VerdictUnknown {
		t.Errorf("VerdictOf = %v for an error that nobody can explain", got)
	}

	for reason, want := range map[onlyonce.Reason]onlyonce.Verdict{
		onlyonce.ReasonKeyMissing:       onlyonce.VerdictFinal,
		onlyonce.ReasonKeyInvalid:       onlyonce.VerdictFinal,
		onlyonce.ReasonKeyReused:        onlyonce.VerdictUnknown,
		onlyonce.ReasonKeyExpired:       onlyonce.VerdictUnknown,
		onlyonce.ReasonScopeMissing:     onlyonce.VerdictUnknown,
		onlyonce.ReasonInProgress:       onlyonce.VerdictUnknown,
		onlyonce.ReasonLeaseLost:        onlyonce.VerdictUnknown,
		onlyonce.ReasonOutcomeUnknown:   onlyonce.VerdictUnknown,
		onlyonce.ReasonOutcomeNotStored: onlyonce.VerdictUnknown,
		onlyonce.ReasonStoreUnavailable: onlyonce.VerdictUnknown,
		onlyonce.ReasonStoreFull:        onlyonce.VerdictUnknown,
		onlyonce.ReasonRecordUnreadable: onlyonce.VerdictUnknown,
		onlyonce.ReasonRecordNewer:      onlyonce.VerdictUnknown,
		"A_REASON_OF_A_LATER_BUILD":     onlyonce.VerdictUnknown,
	} {
		err := fmt.Errorf("paying: %w", &onlyonce.Rejection{Reason: reason})
		if got := onlyonce.VerdictOf(err); got != want {
			t.Errorf("VerdictOf %s = %v, want %v", reason, got, want)
		}
	}
}

func TestRejectionsCanBeRecognised(t *testing.T) {
	t.Parallel()

	err := fmt.Errorf("paying: %w", &onlyonce.Rejection{
		Reason: onlyonce.ReasonInProgress, Message: "retry with the same key", Cause: store.ErrFull,
	})

	if !errors.Is(err, onlyonce.ReasonInProgress) || errors.Is(err, onlyonce.ReasonLeaseLost) || !errors.Is(err, store.ErrFull) {
		t.Errorf("%v is not recognised by its reason and its cause alone", err)
	}

	if got := onlyonce.ReasonInProgress.Error(); got != "IDEMPOTENCY_IN_PROGRESS" {
		t.Errorf("the reason is %q", got)
	}

	// The store's own error is not for callers.
	if want := "paying: IDEMPOTENCY_IN_PROGRESS: retry with the same key"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

// F87: a call without a key is not a call with a bad one.
func TestF87CallWithoutAKeyIsRejectedAsMissing(t *testing.T) {
	t.Parallel()

	var p payments

	got := do(t, newEngine(t, memstore.New()), pay(""), p.do)
	if rejection := got.rejection(t, onlyonce.ReasonKeyMissing); !strings.Contains(rejection.Message, "send one key per operation") {
		t.Errorf("the message is %q", rejection.Message)
	}

	p.mustHaveRun(t, 0)
}

func TestF41FullStoreRefusesANewKeyAndServesTheOldOnes(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New(memstore.WithMaxRecords(1)))

	var p payments

	do(t, e, pay("a"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

	if r := do(t, e, pay("b"), p.do).rejection(t, onlyonce.ReasonStoreFull); r.RetryAfter <= 0 {
		t.Error("the rejection does not say when to retry")
	}

	do(t, e, pay("a"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
	p.mustHaveRun(t, 1)
}

// A handler that calls itself under its own key would wait for itself.
func TestCallInsideItsOwnRunIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		var p payments

		do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
			began := time.Now()

			_, err := e.Do(ctx, pay("k"), p.do)
			if err == nil || !errors.Is(err, onlyonce.ErrOwnKey) || time.Since(began) != 0 {
				t.Errorf("the inner call got %v after %v", err, time.Since(began))
			}

			_, _ = e.Do(ctx, pay("another"), func(ctx context.Context) ([]byte, error) {
				if _, err := e.Do(ctx, pay("k"), p.do); err == nil || !errors.Is(err, onlyonce.ErrOwnKey) {
					t.Errorf("the call inside of the inner call got %v", err)
				}

				return nil, nil
			})

			return p.do(ctx)
		}).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF32MarkOfAnErrorAmongOthers(t *testing.T) {
	t.Parallel()

	released, final, plain := onlyonce.NotExecuted(errLine), onlyonce.Final(errLine), errLine

	inner := newEngine(t, newFaultStore())
	_, nested := inner.Do(t.Context(), pay("inner"), func(context.Context) ([]byte, error) {
		return nil, fmt.Errorf("another key's: %w", onlyonce.KeepWrites(released))
	})

	for name, tt := range map[string]struct {
		err    error
		class  onlyonce.Class
		marked bool
	}{
		"wrapped":                   {fmt.Errorf("while paying: %w", released), onlyonce.ClassNotExecuted, true},
		"the outermost":             {onlyonce.Final(fmt.Errorf("no: %w", released)), onlyonce.ClassDefinite, true},
		"beside one without":        {errors.Join(plain, released), onlyonce.ClassAmbiguous, false},
		"before one without":        {fmt.Errorf("%w: %w", final, plain), onlyonce.ClassAmbiguous, false},
		"on both":                   {errors.Join(released, fmt.Errorf("and: %w", released)), onlyonce.ClassNotExecuted, true},
		"against another":           {errors.Join(released, final), onlyonce.ClassAmbiguous, true},
		"on all at once":            {onlyonce.NotExecuted(errors.Join(plain, plain)), onlyonce.ClassNotExecuted, true},
		"of another call":           {nested, onlyonce.ClassAmbiguous, false},
		"around that of a call":     {onlyonce.Final(nested), onlyonce.ClassDefinite, true},
		"none":                      {plain, onlyonce.ClassAmbiguous, false},
		"none, where all is joined": {errors.Join(plain, plain), onlyonce.ClassAmbiguous, false},
	} {
		if class, marked := onlyonce.MarkedClass(tt.err); class != tt.class || marked != tt.marked {
			t.Errorf("the mark %s: MarkedClass = %v, %t; want %v, %t", name, class, marked, tt.class, tt.marked)
		}
	}

	if onlyonce.KeepsWrites(nested) {
		t.Error("an error of another call keeps the writes of this one")
	}

	if !onlyonce.KeepsWrites(errors.Join(plain, onlyonce.KeepWrites(plain))) {
		t.Error("a joined error has lost its mark")
	}
}

func TestF32ClassOfAnErrorAndTheGuaranteeDecideWhatBecomesOfTheKey(t *testing.T) {
	t.Parallel()

	definite, notExecuted, ambiguous := onlyonce.Final(errLine), onlyonce.NotExecuted(errLine), errLine

	for _, tt := range []struct {
		guarantee onlyonce.Guarantee
		err       error
		status    onlyonce.Status
		outcome   onlyonce.Verdict
		state     store.State
		runsAgain bool
	}{
		{onlyonce.AtMostOnce, definite, onlyonce.StatusExecuted, onlyonce.VerdictFinal, store.Completed, false},
		{onlyonce.AtLeastOnce, definite, onlyonce.StatusExecuted, onlyonce.VerdictFinal, store.Completed, false},
		{onlyonce.ExactlyOnce, definite, onlyonce.StatusExecuted, onlyonce.VerdictFinal, store.Completed, false},
		{onlyonce.AtMostOnce, notExecuted, onlyonce.StatusReleased, onlyonce.VerdictNotExecuted, store.Released, true},
		{onlyonce.AtLeastOnce, notExecuted, onlyonce.StatusReleased, onlyonce.VerdictNotExecuted, store.Released, true},
		{onlyonce.ExactlyOnce, notExecuted, onlyonce.StatusReleased, onlyonce.VerdictNotExecuted, store.Released, true},
		{onlyonce.AtMostOnce, ambiguous, onlyonce.StatusUnknown, onlyonce.VerdictUnknown, store.Unknown, false},
		{onlyonce.AtLeastOnce, ambiguous, onlyonce.StatusUnknown, onlyonce.VerdictUnknown, store.Released, true},
		{onlyonce.ExactlyOnce, ambiguous, onlyonce.StatusUnknown, onlyonce.VerdictUnknown, store.Released, true},
	} {
		class, _ := onlyonce.MarkedClass(tt.err)
		t.Run(fmt.Sprintf("%v %v", tt.guarantee, class), func(t *testing.T) {
			t.Parallel()

			e := newEngine(t, transactionalStore{newFaultStore()}, withGuarantee(tt.guarantee))

			var p payments

			got := do(t, e, pay("k"), p.failing(tt.err))
			got.mustFail(t, tt.status, errLine)

			if outcome := onlyonce.VerdictOf(got.err); outcome != tt.outcome {
				t.Errorf("VerdictOf = %v, want %v", outcome, tt.outcome)
			}

			if _, marked := onlyonce.MarkedClass(got.err); marked {
				t.Error("the error still has its mark")
			}

			mustBeState(t, e, tt.state)

			again := do(t, e, pay("k"), p.do)

			switch {
			case tt.runsAgain:
				again.mustBe(t, onlyonce.StatusExecuted, "#2")
			case tt.state == store.Unknown:
				again.mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
			default:
				if recorded, ok := errors.AsType[*onlyonce.RecordedError](again.err); !ok || recorded.Message != errLine.Error() ||
					again.Status != onlyonce.StatusReplayed {
					t.Errorf("got %s, %#v; want the recorded error", again.Status, again.err)
				}
			}
		})
	}
}

func TestMarksOfErrors(t *testing.T) {
	t.Parallel()

	if onlyonce.Final(nil) != nil || onlyonce.NotExecuted(nil) != nil {
		t.Error("the mark of no error is an error")
	}

	for _, tt := range []struct {
		name   string
		err    error
		class  onlyonce.Class
		marked bool
	}{
		{"plain", errLine, onlyonce.ClassAmbiguous, false},
		{"none", nil, onlyonce.ClassAmbiguous, false},
		{"final", onlyonce.Final(errLine), onlyonce.ClassDefinite, true},
		{"not executed", onlyonce.NotExecuted(errLine), onlyonce.ClassNotExecuted, true},
		{"wrapped", fmt.Errorf("paying: %w", onlyonce.Final(errLine)), onlyonce.ClassDefinite, true},
		{"the outermost mark counts", onlyonce.Final(onlyonce.NotExecuted(errLine)), onlyonce.ClassDefinite, true},
	} {
		if class, marked := onlyonce.MarkedClass(tt.err); class != tt.class || marked != tt.marked {
			t.Errorf("%s: MarkedClass = %v, %v; want %v, %v", tt.name, class, marked, tt.class, tt.marked)
		}

		if tt.err != nil && !errors.Is(tt.err, errLine) {
			t.Errorf("%s: the mark hides the error", tt.name)
		}
	}

	if got := onlyonce.Unmarked(onlyonce.Final(onlyonce.NotExecuted(errLine))); got != errLine { //nolint:errorlint // the very error
		t.Errorf("Unmarked = %v, want the handler's error", got)
	}

	wrapped := fmt.Errorf("paying: %w", onlyonce.Final(errLine))
	if onlyonce.Unmarked(wrapped) != wrapped { //nolint:errorlint // the very error
		t.Error("Unmarked has changed an error that only wraps a mark")
	}

	if got := onlyonce.Final(errLine).Error(); got != errLine.Error() {
		t.Errorf("the mark has changed the text into %q", got)
	}
}

func TestClassesAndOutcomesHaveNames(t *testing.T) {
	t.Parallel()

	for got, want := range map[string]string{
		onlyonce.ClassAmbiguous.String():     "ambiguous",
		onlyonce.ClassDefinite.String():      "definite",
		onlyonce.ClassNotExecuted.String():   "not executed",
		onlyonce.Class(9).String():           "Class(9)",
		onlyonce.VerdictUnknown.String():     "unknown",
		onlyonce.VerdictFinal.String():       "final",
		onlyonce.Verdict(9).String():         "Verdict(9)",
		onlyonce.EventKind(0).String():       "EventKind(0)",
		onlyonce.EventKind(99).String():      "EventKind(99)",
		onlyonce.EventTakeover.String():      "takeover",
		onlyonce.VerdictNotExecuted.String(): "not executed",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestF34OutcomeOverTheCapIsKeptAsDoneWithoutItsBody(t *testing.T) {
	t.Parallel()

	const limit = 1_000

	for _, size := range []int{limit, limit + 1} {
		for name, fail := range map[string]error{"success": nil, "final error": onlyonce.Final(errors.New(strings.Repeat("e", size)))} {
			t.Run(fmt.Sprintf("%s of %d bytes", name, size), func(t *testing.T) {
				t.Parallel()

				e := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxOutcome: limit}))
				body := strings.Repeat("b", size)

				var p payments

				handler := func(ctx context.Context) ([]byte, error) {
					_, _ = p.do(ctx)

					return []byte(body), fail
				}

				own := do(t, e, pay("k"), handler)
				if own.Status != onlyonce.StatusExecuted || string(own.Body) != body || fmt.Sprint(own.err) != fmt.Sprint(fail) {
					t.Errorf("the caller got %s, %d bytes, %v; want all of it", own.Status, len(own.Body), own.err)
				}

				again := do(t, e, pay("k"), handler)

				if rec := record(t, e, "k"); rec.NotStored != (size > limit) || rec.State != store.Completed {
					t.Errorf("the record is %v, NotStored %v", rec.State, rec.NotStored)
				}

				if size <= limit {
					if again.Status != onlyonce.StatusReplayed || fmt.Sprint(again.err) != fmt.Sprint(fail) {
						t.Errorf("the duplicate got %s, %v; want the replay", again.Status, again.err)
					}

					return
				}

				rejection := again.rejection(t, onlyonce.ReasonOutcomeNotStored)
				if want := map[bool]string{true: "OK", false: "ERROR"}[fail == nil]; rejection.Metadata["original_code"] != want {
					t.Errorf("the metadata is %v, want the code %s", rejection.Metadata, want)
				}

				if rejection.RetryAfter != 0 {
					t.Errorf("RetryAfter = %v: trying again is of no use", rejection.RetryAfter)
				}

				p.mustHaveRun(t, 1)
			})
		}
	}
}

func TestF34WaitersOfAnOutcomeOverTheCapAreRejectedAsNotStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{MaxOutcome: 1}))

		var p payments

		running := inBackground(t.Context(), e, pay("k"), p.lasting(1))

		synctest.Wait()
		do(t, e, pay("k"), p.do).mustBeRejected(t, onlyonce.ReasonOutcomeNotStored)
		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestF51EmptyAnswerIsAnAnswer(t *testing.T) {
	t.Parallel()

	for name, body := range map[string][]byte{"nil": nil, "empty": {}, "zeros": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e := newEngine(t, memstore.New())

			var p payments

			handler := func(ctx context.Context) ([]byte, error) {
				_, _ = p.do(ctx)

				return body, nil
			}

			do(t, e, pay("k"), handler).mustBe(t, onlyonce.StatusExecuted, string(body))
			do(t, e, pay("k"), handler).mustBe(t, onlyonce.StatusReplayed, string(body))
			p.mustHaveRun(t, 1)
		})
	}
}

func TestF51FinalErrorWithoutTextIsAnError(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())

	var p payments

	_ = do(t, e, pay("k"), p.failing(onlyonce.Final(errors.New(""))))

	if again := do(t, e, pay("k"), p.do); again.err == nil || again.err.Error() != "" || again.Status != onlyonce.StatusReplayed {
		t.Errorf("the duplicate got %s, %v; want an error without text", again.Status, again.err)
	}

	p.mustHaveRun(t, 1)
}

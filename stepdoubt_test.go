package onlyonce_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A handler often translates the error of a downstream call. While that call is open, its effect is unknown.
func TestF73DefiniteErrorIsAmbiguousWhileADownstreamCallIsOpen(t *testing.T) {
	t.Parallel()

	definite := func(marked bool) onlyonce.Outcome {
		return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Marked: marked, Code: "FAILED_PRECONDITION", Err: errLine}
	}
	known := &onlyonce.Rejection{Reason: onlyonce.ReasonKeyInvalid}

	for name, tt := range map[string]struct {
		call func(*onlyonce.DerivedCall)
		out  onlyonce.Outcome
		want onlyonce.Status
	}{
		"its outcome is unknown":   {func(c *onlyonce.DerivedCall) { c.End(errLine) }, definite(false), onlyonce.StatusUnknown},
		"it is under way":          {func(*onlyonce.DerivedCall) {}, definite(false), onlyonce.StatusUnknown},
		"the handler knows better": {func(c *onlyonce.DerivedCall) { c.End(errLine) }, definite(true), onlyonce.StatusExecuted},
		"it has failed for good":   {func(c *onlyonce.DerivedCall) { c.End(known) }, definite(false), onlyonce.StatusExecuted},
		"it was executed":          {func(c *onlyonce.DerivedCall) { c.End(nil) }, definite(false), onlyonce.StatusExecuted},
		"the handler succeeds all the same": {
			func(c *onlyonce.DerivedCall) { c.End(errLine) }, onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}, onlyonce.StatusExecuted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			call := pay("k")
			e := newEngine(t, memstore.New())

			reply, err := e.Execute(t.Context(), &call, func(ctx context.Context) onlyonce.Outcome {
				tt.call(step(t, ctx))

				return tt.out
			})
			if err != nil || reply.Status != tt.want {
				t.Errorf("got %s, %v; want %s", reply.Status, err, tt.want)
			}
		})
	}
}

func TestF73RepeatedStepIsNotExecuted(t *testing.T) {
	t.Parallel()
	inRun(t, pay("k"), func(ctx context.Context) {
		step(t, ctx).End(nil)

		if _, err := onlyonce.DeriveCall(ctx, downstreamMethod); onlyonce.VerdictOf(err) != onlyonce.VerdictNotExecuted {
			t.Errorf("the verdict on %v is %v, want not executed: nothing was sent", err, onlyonce.VerdictOf(err))
		}
	})
}

type verdictError struct{ v onlyonce.Verdict }

func (e verdictError) Error() string             { return "downstream: " + e.v.String() }
func (e verdictError) Verdict() onlyonce.Verdict { return e.v }

// If the second try of a step sent nothing, or its key was refused, the first try is still unsettled.
func TestF73DoubtAboutAStepOutlastsATryThatRanNothing(t *testing.T) {
	t.Parallel()

	for name, second := range map[string]error{
		"nothing was sent":                   verdictError{onlyonce.VerdictNotExecuted},
		"the key belongs to another request": &onlyonce.Rejection{Reason: onlyonce.ReasonKeyReused},
	} {
		e := newEngine(t, memstore.New())
		call := pay("k")

		reply, err := e.Execute(t.Context(), &call, func(ctx context.Context) onlyonce.Outcome {
			step(t, ctx).End(verdictError{onlyonce.VerdictUnknown})
			step(t, ctx).End(second)

			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "FAILED_PRECONDITION", Err: errLine}
		})
		if err != nil || reply.Status != onlyonce.StatusUnknown {
			t.Errorf("%s: got %s, %v; want unknown", name, reply.Status, err)
		}
	}
}

// A policy may class a code as "not executed". It does not know of the open call.
func TestF73UnmarkedNotExecutedIsAmbiguousWhileADownstreamCallIsOpen(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())
	call := pay("k")

	reply, err := e.Execute(t.Context(), &call, func(ctx context.Context) onlyonce.Outcome {
		step(t, ctx).End(verdictError{onlyonce.VerdictUnknown})

		return onlyonce.Outcome{Class: onlyonce.ClassNotExecuted, Code: "UNAVAILABLE", Err: errLine}
	})
	if err != nil || reply.Status != onlyonce.StatusUnknown {
		t.Errorf("got %s, %v; want unknown", reply.Status, err)
	}
}

// A call whose key somebody has chosen is a call of the run as well.
func TestF73CallUnderAChosenKeyIsOpenUntilItsOutcomeIsKnown(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		ends []error
		want onlyonce.Status
	}{
		"unknown":             {[]error{verdictError{onlyonce.VerdictUnknown}}, onlyonce.StatusUnknown},
		"unknown, then known": {[]error{verdictError{onlyonce.VerdictUnknown}, nil}, onlyonce.StatusExecuted},
		"known":               {[]error{nil, nil}, onlyonce.StatusExecuted},
	} {
		e := newEngine(t, memstore.New())
		call := pay("k")

		reply, err := e.Execute(t.Context(), &call, func(ctx context.Context) onlyonce.Outcome {
			for _, ends := range tt.ends {
				onlyonce.BeginCall(ctx, downstreamMethod, "chosen")(ends)
			}

			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "FAILED_PRECONDITION", Err: errLine}
		})
		if err != nil || reply.Status != tt.want {
			t.Errorf("%s: got %s, %v; want %s", name, reply.Status, err, tt.want)
		}
	}

	onlyonce.BeginCall(t.Context(), downstreamMethod, "outside of a run")(errLine)
}

// Two calls with one chosen key may be under way together. The one that ends first says nothing about the other.
func TestF73CallUnderAChosenKeyIsOpenWhateverAnotherCallWithTheKeyEndsWith(t *testing.T) {
	t.Parallel()

	unknown, notExecuted := verdictError{onlyonce.VerdictUnknown}, verdictError{onlyonce.VerdictNotExecuted}

	for name, ends := range map[string][]error{
		"the other is in doubt":        {unknown, notExecuted},
		"the other is refused":         {unknown, onlyonce.ReasonKeyInvalid},
		"the other is still under way": {notExecuted},
	} {
		e := newEngine(t, memstore.New())
		call := pay("k")

		reply, err := e.Execute(t.Context(), &call, func(ctx context.Context) onlyonce.Outcome {
			begun := []func(error){
				onlyonce.BeginCall(ctx, downstreamMethod, "chosen"), onlyonce.BeginCall(ctx, downstreamMethod, "chosen"),
			}

			for i, end := range ends {
				begun[i](end)
			}

			return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "FAILED_PRECONDITION", Err: errLine}
		})
		if err != nil || reply.Status != onlyonce.StatusUnknown {
			t.Errorf("%s: got %s, %v; want unknown", name, reply.Status, err)
		}
	}
}

// F73: a run that uses a method twice without naming the steps leaves nothing unknown behind: the error is its answer.
func TestF73RunThatUsesAStepTwiceHasADefiniteEnd(t *testing.T) {
	t.Parallel()

	for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		e := newEngine(t, memstore.New(), withGuarantee(guarantee))

		var p payments

		twice := func(ctx context.Context) ([]byte, error) {
			p.runs.Add(1)
			step(t, ctx).End(nil)

			_, err := onlyonce.DeriveCall(ctx, downstreamMethod)

			return nil, fmt.Errorf("polling: %w", err)
		}

		do(t, e, pay("k"), twice).mustFail(t, onlyonce.StatusExecuted, onlyonce.ErrStepUsed)

		replayed := do(t, e, pay("k"), twice)
		if replayed.Status != onlyonce.StatusReplayed || !strings.Contains(replayed.err.Error(), "onlyonce.WithStep(ctx, ") {
			t.Errorf("the duplicate got %s, %v, which does not name the remedy", replayed.Status, replayed.err)
		}

		p.mustHaveRun(t, 1)
	}
}

package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const downstreamMethod = "/ledger.Ledger/Book"

// step begins a call that must be allowed.
func step(t *testing.T, ctx context.Context) *onlyonce.DerivedCall { //nolint:revive // t first
	t.Helper()

	call, err := onlyonce.DeriveCall(ctx, downstreamMethod)
	if err != nil {
		t.Fatal(err)
	}

	return call
}

func mustBeRefused(t *testing.T, ctx context.Context, parts ...string) { //nolint:revive // t first
	t.Helper()

	call, err := onlyonce.DeriveCall(ctx, downstreamMethod)
	if call != nil || !errors.Is(err, onlyonce.ErrStepUsed) {
		t.Fatalf("the second call is %v, %v", call, err)
	}

	for _, part := range append(parts, downstreamMethod, "WithStep(ctx, ") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestRunUsesAMethodOnce(t *testing.T) {
	t.Parallel()

	t.Run("after success", func(t *testing.T) {
		t.Parallel()
		inRun(t, pay("k"), func(ctx context.Context) {
			step(t, ctx).End(nil)
			mustBeRefused(t, ctx, "with success", `"line-7"`)
			mustBeRefused(t, context.WithoutCancel(ctx), "with success")
		})
	})

	t.Run("at the same time", func(t *testing.T) {
		t.Parallel()
		inRun(t, pay("k"), func(ctx context.Context) {
			first := step(t, ctx)
			mustBeRefused(t, ctx, "at this moment")
			first.End(nil)
			mustBeRefused(t, ctx, "with success")
		})
	})

	t.Run("but again after an error, with the same key", func(t *testing.T) {
		t.Parallel()
		inRun(t, pay("k"), func(ctx context.Context) {
			first := step(t, ctx)
			first.End(errLine)

			second := step(t, ctx)
			if first.Key() != second.Key() {
				t.Errorf("the keys are %q and %q", first.Key(), second.Key())
			}

			second.End(nil)
			mustBeRefused(t, ctx, "with success")
		})
	})

	t.Run("or once for each name", func(t *testing.T) {
		t.Parallel()
		inRun(t, pay("k"), func(ctx context.Context) {
			keys := make(map[string]bool)

			for _, name := range []string{"", "line-7", "line-8"} {
				named := onlyonce.WithStep(ctx, name)
				call := step(t, named)
				keys[call.Key()] = true

				call.End(nil)
				mustBeRefused(t, named, "with success")
			}

			if len(keys) != 3 {
				t.Errorf("the keys are %v", keys)
			}

			mustBeRefused(t, onlyonce.WithStep(ctx, "line-7"), `"line-7"`, `"line-7-2"`)
		})
	})

	t.Run("and another method as well", func(t *testing.T) {
		t.Parallel()
		inRun(t, pay("k"), func(ctx context.Context) {
			step(t, ctx).End(nil)

			if call, err := onlyonce.DeriveCall(ctx, "/ledger.Ledger/Cancel"); err != nil {
				t.Errorf("%v, %v", call, err)
			}
		})
	})
}

func TestStepsBelongToTheRunWhateverTheGoroutine(t *testing.T) {
	t.Parallel()
	inRun(t, pay("k"), func(ctx context.Context) {
		const callers = 50

		won := make(chan *onlyonce.DerivedCall, callers)

		for range callers {
			go func() {
				call, _ := onlyonce.DeriveCall(context.WithoutCancel(ctx), downstreamMethod)
				won <- call
			}()
		}

		n := 0

		for range callers {
			if call := <-won; call != nil {
				n++
			}
		}

		if n != 1 {
			t.Errorf("%d calls were made under one key", n)
		}
	})
}

func TestRunThatIsRepeatedTakesTheSameSteps(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New(), withGuarantee(onlyonce.AtLeastOnce))

	var keys []string

	handler := func(err error) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) {
			call := step(t, ctx)
			keys = append(keys, call.Key())
			call.End(nil)

			return nil, err
		}
	}

	do(t, e, pay("k"), handler(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
	do(t, e, pay("k"), handler(nil)).mustBe(t, onlyonce.StatusExecuted, "")

	if len(keys) != 2 || keys[0] != keys[1] {
		t.Errorf("the runs had the keys %q", keys)
	}
}

// Steps of the rolled-back run do not count for the next run.
func TestRunThatConflictedTakesTheSameStepsAgain(t *testing.T) {
	t.Parallel()

	e := newEngine(t, txstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))

	var (
		keys []string
		left *onlyonce.DerivedCall
	)

	_, err := e.Execute(t.Context(), &onlyonce.Call{Method: method, Key: "k"}, func(ctx context.Context) onlyonce.Outcome {
		call := step(t, ctx)
		keys = append(keys, call.Key())

		if left == nil {
			left = call

			return onlyonce.Outcome{Err: txstore.ErrConflict}
		}

		left.End(nil)
		mustBeRefused(t, ctx, "at this moment")
		call.End(errLine)
		step(t, ctx).End(nil)

		return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
	})

	if err != nil || len(keys) != 2 || keys[0] != keys[1] {
		t.Errorf("the runs had the keys %q; %v", keys, err)
	}
}

// A goroutine that outlives a rolled-back run neither sees the next run nor takes its steps.
func TestGoroutineOfARunThatConflictedKeepsToItsOwnRun(t *testing.T) {
	t.Parallel()

	e := newEngine(t, txstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))

	var (
		first context.Context
		left  sync.WaitGroup
		keys  [2]string
	)

	_, err := e.Execute(t.Context(), &onlyonce.Call{Method: method, Key: "k"}, func(ctx context.Context) onlyonce.Outcome {
		if first == nil {
			first = context.WithoutCancel(ctx) //nolint:fatcontext // it is set once

			left.Go(func() {
				for range 1000 {
					_, _ = onlyonce.RunFromContext(first)
					_, _ = ctx.Deadline()
					time.Sleep(10 * time.Microsecond)
				}
			})

			return onlyonce.Outcome{Err: txstore.ErrConflict}
		}

		if err := ctx.Err(); err != nil {
			t.Error(err)
		}

		late := step(t, first) // and is at work
		call := step(t, ctx)
		keys = [...]string{late.Key(), call.Key()}

		call.End(nil)
		late.End(errLine)
		mustBeRefused(t, ctx, "with success")

		return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
	})

	left.Wait()

	if err != nil || keys[0] == "" || keys[0] != keys[1] {
		t.Errorf("the runs had the keys %q; %v", keys, err)
	}
}

func TestRunWithoutProtectionDerivesTheSameKeys(t *testing.T) {
	t.Parallel()

	s := newFaultStore()
	e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))

	var keys []string

	handler := func(ctx context.Context) ([]byte, error) {
		call := step(t, ctx)
		keys = append(keys, call.Key())
		call.End(nil)

		return nil, nil
	}

	do(t, e, pay("k"), handler).mustBe(t, onlyonce.StatusExecuted, "")
	s.restartEmpty()
	s.broken(lostRequest, opClaim)
	do(t, e, pay("k"), handler).mustBe(t, onlyonce.StatusUnprotected, "")

	if len(keys) != 2 || keys[0] != keys[1] {
		t.Errorf("the runs had the keys %q", keys)
	}
}

func TestKeyAndStepOfTheCallerAreNotThoseOfTheRun(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())
	outer := onlyonce.WithStep(onlyonce.ContextWithKey(t.Context(), "incoming"), "line-7")

	var inside, plain string

	for _, c := range []struct {
		ctx  context.Context
		into *string
	}{{outer, &inside}, {t.Context(), &plain}} {
		call := pay("k")
		call.Scope = "s"

		_, err := e.Do(c.ctx, call, func(ctx context.Context) ([]byte, error) {
			if key, ok := onlyonce.KeyFromContext(ctx); ok {
				t.Errorf("the run sees the key %q", key)
			}

			if key, _ := onlyonce.KeyFromContext(onlyonce.ContextWithKey(ctx, "own")); key != "own" {
				t.Errorf("the run's own key is %q", key)
			}

			call := step(t, ctx)
			*c.into = call.Key()
			call.End(nil)

			return nil, onlyonce.NotExecuted(errLine)
		})
		if !errors.Is(err, errLine) {
			t.Fatal(err)
		}
	}

	if inside != plain {
		t.Errorf("the keys are %q and %q", inside, plain)
	}
}

func TestInnermostRunIsTheOneThatKeysAreDerivedFrom(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())

	var outer, inner string

	_, err := e.Do(t.Context(), pay("outer"), func(ctx context.Context) ([]byte, error) {
		outer = step(t, ctx).Key()

		_, err := e.Do(ctx, pay("inner"), func(ctx context.Context) ([]byte, error) {
			inner = step(t, ctx).Key()

			return nil, nil
		})

		return nil, err
	})
	if err != nil || outer == inner {
		t.Errorf("the keys are %q and %q; %v", outer, inner, err)
	}
}

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

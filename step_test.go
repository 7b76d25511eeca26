package onlyonce_test

import (
	"context"
	"errors"
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

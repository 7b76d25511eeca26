package onlyonce_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestRunContextHasTheCallersValuesAndNotItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), testKey{}, "tenant"), time.Second)
		defer cancel()

		want, _ := ctx.Deadline()
		began := time.Now()

		call := pay("k")
		call.Scope = "ann"

		_, err := e.Do(ctx, call, func(ctx context.Context) ([]byte, error) {
			if ctx.Value(testKey{}) != "tenant" {
				t.Error("the caller's values are gone")
			}

			if deadline, ok := ctx.Deadline(); !ok || !deadline.Equal(began.Add(onlyonce.DefaultMaxRun)) {
				t.Errorf("the deadline is %v, %v; want the end of MaxRun", deadline, ok)
			}

			child, stop := context.WithCancel(ctx)
			defer stop()

			if deadline, ok := onlyonce.CallerDeadline(child); !ok || !deadline.Equal(want) {
				t.Errorf("CallerDeadline = %v, %v; want %v", deadline, ok, want)
			}

			run, ok := onlyonce.RunFromContext(child)
			wanted := onlyonce.Run{
				ID: run.ID, Scope: "ann", Method: method, Key: "k", Fence: 1, Attempt: 1, Guarantee: onlyonce.AtMostOnce, Protected: true,
			}

			if !ok || run != wanted {
				t.Errorf("RunFromContext = %+v, %v; want %+v", run, ok, wanted)
			}

			if rec, err := e.LookupID(ctx, run.ID); err != nil || rec.Token == (store.Token{}) {
				t.Errorf("no record has the ID of the run: %+v, %v", rec, err)
			}

			return nil, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

type testKey struct{}

func TestRunContextOutsideOfARun(t *testing.T) {
	t.Parallel()

	if run, ok := onlyonce.RunFromContext(t.Context()); ok {
		t.Errorf("RunFromContext = %+v outside of a run", run)
	}

	if deadline, ok := onlyonce.CallerDeadline(t.Context()); ok {
		t.Errorf("CallerDeadline = %v outside of a run", deadline)
	}

	e := newEngine(t, memstore.New())

	_, _ = e.Do(t.Context(), pay("k"), func(ctx context.Context) ([]byte, error) {
		if deadline, ok := onlyonce.CallerDeadline(ctx); ok {
			t.Errorf("CallerDeadline = %v for a caller who has none", deadline)
		}

		return nil, nil
	})
}

func TestRunContextEndsWithTheRun(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New())

	var kept context.Context

	_, _ = e.Do(t.Context(), pay("k"), func(ctx context.Context) ([]byte, error) {
		kept = ctx //nolint:fatcontext // kept to observe its end

		return nil, ctx.Err()
	})

	if kept.Err() == nil {
		t.Error("the context lives on after its run")
	}
}

// Contexts that are derived from a foreign type cost a goroutine each, unless the type passes for a standard one.
func TestRunContextsChildrenStartNoGoroutines(t *testing.T) {
	e := newEngine(t, memstore.New(), withGuarantee(onlyonce.AtLeastOnce))

	for name, policy := range map[string]*onlyonce.Policy{"detached": nil, "not detached": {
		Guarantee: onlyonce.AtLeastOnce, Detachment: onlyonce.Attached,
	}} {
		call := pay(name[:3])
		call.Policy = policy

		_, err := e.Do(t.Context(), call, func(ctx context.Context) ([]byte, error) {
			before := runtime.NumGoroutine()
			cleanup := make([]func(), 0, 300)

			for range 100 {
				_, cancel := context.WithCancel(ctx)
				_, stop := context.WithTimeout(ctx, time.Minute)
				unset := context.AfterFunc(ctx, func() {})
				cleanup = append(cleanup, cancel, stop, func() { unset() })
			}

			if n := runtime.NumGoroutine() - before; n > 50 {
				t.Errorf("%s: 300 children have started %d goroutines", name, n)
			}

			for _, end := range cleanup {
				end()
			}

			return nil, nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestRunContextCancelsItsChildren(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New())

		_, _ = e.Do(t.Context(), pay("k"), func(ctx context.Context) ([]byte, error) {
			child, cancel := context.WithCancel(ctx)
			defer cancel()

			called := make(chan struct{})

			context.AfterFunc(ctx, func() { close(called) })

			<-child.Done()
			<-called

			if cause := context.Cause(child); cause != onlyonce.ErrMaxRun { //nolint:errorlint // the very cause
				t.Errorf("the cause is %v, want ErrMaxRun", cause)
			}

			return nil, nil
		})
	})
}

func TestContextWithKeyCarriesTheKey(t *testing.T) {
	t.Parallel()

	if key, ok := onlyonce.KeyFromContext(t.Context()); ok {
		t.Errorf("KeyFromContext = %q without a key", key)
	}

	ctx := onlyonce.ContextWithKey(onlyonce.ContextWithKey(t.Context(), "a"), "b")
	if key, ok := onlyonce.KeyFromContext(ctx); !ok || key != "b" {
		t.Errorf("KeyFromContext = %q, %v; want b", key, ok)
	}
}

package sqlstore

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What a locked table costs is connections: one for each operation that runs out of time.
func TestOperationsAreKeptFromADatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		const callers = 16

		var (
			g      gate
			locked atomic.Bool
			sent   atomic.Int64
			failed atomic.Int64
		)

		locked.Store(true)

		send := func(ctx context.Context) error {
			sent.Add(1)

			for locked.Load() {
				select {
				case <-time.After(10 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
			}

			return nil
		}
		operate := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()

			err := g.pass(ctx, send)
			if err == nil {
				err = send(ctx)
				g.note(ctx, err)
			}

			if err != nil {
				failed.Add(1)

				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			}
		}

		for range callers {
			go func() {
				for range 30 {
					operate()
				}
			}()
		}

		time.Sleep(13*time.Second + 50*time.Millisecond)

		if n := sent.Load(); n > callers+13+4 {
			t.Errorf("%d statements were sent in 13 seconds", n)
		}

		locked.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()

		before := failed.Load()
		operate()

		if failed.Load() != before || g.silent.Load() != 0 {
			t.Error("the database answers again, and an operation has failed")
		}
	})
}

func TestOneLockedRecordDoesNotKeepOperationsFromTheDatabase(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var g gate

		for range 10 * silentMost {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)

			if err := g.pass(ctx, func(context.Context) error { return nil }); err != nil {
				t.Error(err)
			}

			<-ctx.Done()
			g.note(ctx, ctx.Err())
			cancel()
		}
	})
}

func TestAnswersOfTheDatabaseAreNoSilence(t *testing.T) {
	t.Parallel()

	over, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()

	gone, leave := context.WithCancel(t.Context())
	leave()

	for _, tt := range []struct {
		ctx    context.Context
		err    error
		silent bool
	}{
		{over, context.DeadlineExceeded, true},
		{over, errors.New("i/o timeout"), true},
		{over, answered("55P03"), false},
		{over, nil, false},
		{gone, context.Canceled, false},
		{t.Context(), errors.New("connection refused"), false},
	} {
		if got := silence(tt.ctx, tt.err) != nil; got != tt.silent {
			t.Errorf("%v, %v: silent is %t", tt.ctx.Err(), tt.err, got)
		}
	}
}

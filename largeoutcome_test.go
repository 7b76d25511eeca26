package onlyonce_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// cappedStore refuses outcomes that are larger than its limit.
type cappedStore struct {
	*faultStore

	limit int
}

func (s cappedStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	if len(op.Outcome) > s.limit {
		return store.Result{}, errLine
	}

	return s.faultStore.Complete(ctx, op)
}

const largeBody = 100 << 10

func (p *payments) large(context.Context) ([]byte, error) {
	p.runs.Add(1)

	return bytes.Repeat([]byte{'x'}, largeBody), nil
}

func TestF34OutcomeThatTheStoreDoesNotTakeIsKeptAsDoneWithoutItsBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, cappedStore{newFaultStore(), largeBody})

		var p payments

		if got := do(t, e, pay("k"), p.large); got.err != nil || got.Status != onlyonce.StatusUnrecorded || len(got.Body) != largeBody {
			t.Errorf("the caller of the run got %s, %v and %d bytes", got.Status, got.err, len(got.Body))
		}

		time.Sleep(10 * time.Minute)
		do(t, e, pay("k"), p.large).mustBeRejected(t, onlyonce.ReasonOutcomeNotStored)
		p.mustHaveRun(t, 1)

		if n := e.Pending(); n != 0 {
			t.Errorf("%d settlements are pending", n)
		}
	})
}

// stalledStore delays completions until a given time, like a row lock. It answers reads, and takes outcomes of any size.
type stalledStore struct {
	*faultStore

	until time.Time
}

func (s stalledStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	select {
	case <-time.After(time.Until(s.until)):
		return s.faultStore.Complete(ctx, op)
	case <-ctx.Done():
		return store.Result{}, ctx.Err()
	}
}

// Whenever the stall ends, it is the large outcome that is taken.
func TestF08LargeOutcomeIsKeptWholeWhereTheStoreIsSlowToTakeAny(t *testing.T) {
	t.Parallel()

	for stall := 30 * time.Second; stall < 60*time.Second; stall += 333 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, stalledStore{newFaultStore(), time.Now().Add(stall)})

			var p payments

			_ = do(t, e, pay("k"), p.large)

			time.Sleep(10 * time.Minute)

			got := do(t, e, pay("k"), p.large)
			if got.err != nil || got.Status != onlyonce.StatusReplayed || len(got.Body) != largeBody {
				t.Errorf("after a stall of %v a duplicate got %s, %v and %d bytes", stall, got.Status, got.err, len(got.Body))
			}

			p.mustHaveRun(t, 1)
		})
	}
}

// slowStore fails for large outcomes until it is healed. It returns its own error before the engine's timeout.
type slowStore struct {
	cappedStore

	says   error
	healed *atomic.Bool
}

func (s slowStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	if len(op.Outcome) > s.limit && !s.healed.Load() {
		return store.Result{}, s.says
	}

	return s.faultStore.Complete(ctx, op)
}

func TestF08LargeOutcomeThatRunsOutOfTimeIsNotRefused(t *testing.T) {
	t.Parallel()

	for _, says := range []error{
		os.ErrDeadlineExceeded, fmt.Errorf("reading: %w", context.DeadlineExceeded), &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded},
	} {
		t.Run(says.Error(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := slowStore{cappedStore{newFaultStore(), largeBody}, says, new(atomic.Bool)}
				e := newEngine(t, s)

				var p payments

				_ = do(t, e, pay("k"), p.large)

				time.Sleep(time.Hour)
				s.healed.Store(true)
				time.Sleep(time.Minute)

				got := do(t, e, pay("k"), p.large)
				if got.err != nil || got.Status != onlyonce.StatusReplayed || len(got.Body) != largeBody {
					t.Errorf("a duplicate got %s, %v and %d bytes", got.Status, got.err, len(got.Body))
				}
			})
		})
	}
}

func TestDrainIsNotHeldUpByALargeOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, stalledStore{newFaultStore(), time.Now().Add(time.Hour)})

		var p payments

		_ = do(t, e, pay("k"), p.large)

		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()

		began := time.Now()
		if err := e.Drain(ctx); err == nil || time.Since(began) != 500*time.Millisecond {
			t.Errorf("Drain returned %v after %v, want an error after 500ms", err, time.Since(began))
		}
	})
}

// shutStore can be looked at only while it is open.
type shutStore struct {
	cappedStore

	closed *atomic.Bool
}

func (s shutStore) Capabilities() store.Capabilities {
	can := s.cappedStore.Capabilities()
	can.Inspector = s

	return can
}

func (s shutStore) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	if s.closed.Load() {
		return store.Result{}, errLine
	}

	return s.cappedStore.Lookup(ctx, key)
}

// The outcome counts as too large only if the store answers both tries. An outage may end between them.
func TestF08LargeOutcomeIsNotGivenUpWhileTheStoreDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := shutStore{cappedStore{newFaultStore(), largeBody}, new(atomic.Bool)}
		e := newEngine(t, s)

		s.closed.Store(true)

		var p payments

		_ = do(t, e, pay("k"), p.large)

		time.Sleep(time.Hour)

		if n := e.Pending(); n != 1 {
			t.Errorf("%d settlements are pending, want that of the large outcome", n)
		}

		s.closed.Store(false)
		time.Sleep(10 * time.Minute)
		do(t, e, pay("k"), p.large).mustBeRejected(t, onlyonce.ReasonOutcomeNotStored)
	})
}

// An outage of any length, and a store that answers reads and refuses all writes, prove nothing about the size.
func TestF08LargeOutcomeIsKeptWholeWhereTheStoreTakesNothing(t *testing.T) {
	t.Parallel()

	for name, unreachable := range map[string]bool{"unreachable": true, "read-only": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := shutStore{cappedStore{newFaultStore(), 2 * largeBody}, new(atomic.Bool)}
				e := newEngine(t, s)

				var p payments

				got := do(t, e, pay("k"), func(ctx context.Context) ([]byte, error) {
					s.broken(lostRequest, everyOperation()...)
					s.closed.Store(unreachable)

					return p.large(ctx)
				})
				if got.err != nil || got.Status != onlyonce.StatusUnrecorded {
					t.Errorf("the caller of the run got %s, %v", got.Status, got.err)
				}

				time.Sleep(time.Hour)
				s.broken(nil, everyOperation()...)
				s.closed.Store(false)
				time.Sleep(time.Minute)

				got = do(t, e, pay("k"), p.large)
				if got.err != nil || got.Status != onlyonce.StatusReplayed || len(got.Body) != largeBody {
					t.Errorf("a duplicate got %s, %v and %d bytes", got.Status, got.err, len(got.Body))
				}

				p.mustHaveRun(t, 1)
			})
		})
	}
}

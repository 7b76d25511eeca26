package storetest_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunInBubble(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store { return memstore.New() }, storetest.InBubble())
}

// remote is a store as if behind a network: its operations take time, and its times are whole milliseconds.
type remote struct{ store *memstore.Store }

func (r remote) slow(res store.Result, err error) (store.Result, error) {
	time.Sleep(time.Millisecond)

	for _, at := range []*time.Time{
		&res.Now, &res.Record.LeaseUntil, &res.Record.OwnerAliveUntil, &res.Record.FirstStart,
		&res.Record.LastStart, &res.Record.EndedAt, &res.Record.ExpiresAt,
	} {
		if !at.IsZero() {
			*at = time.UnixMilli(at.UnixMilli())
		}
	}

	return res, err
}

func (r remote) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	return r.slow(r.store.Claim(ctx, op))
}

func (r remote) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	return r.slow(r.store.Renew(ctx, op))
}

func (r remote) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	return r.slow(r.store.Complete(ctx, op))
}

func (r remote) Release(ctx context.Context, op store.Release) (store.Result, error) {
	return r.slow(r.store.Release(ctx, op))
}

// Capabilities are none: what the remote does for the others is shown by the operations that every store has.
func (r remote) Capabilities() store.Capabilities { return store.Capabilities{} }

func (r remote) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	return r.slow(r.store.Hold(ctx, op))
}

// A store is checked on a real clock, and by clients of the same one.
func TestRunOnARealClock(t *testing.T) {
	t.Parallel()

	shared := memstore.New()
	storetest.Run(t, func(*testing.T) store.Store { return remote{shared} }, storetest.WithUnit(40*time.Millisecond))
}

func TestWithUnitPanicsWhenItLeavesNoRoom(t *testing.T) {
	t.Parallel()

	defer func() {
		if recover() == nil {
			t.Error("WithUnit(1ms) did not panic")
		}
	}()

	storetest.WithUnit(time.Millisecond)
}

package onlyonce_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

const method = "/bank.Payments/Pay"

// newEngine makes an engine. At the end of the test, all seats and flights of the engine must be free.
func newEngine(t *testing.T, s store.Store, opts ...onlyonce.Option) *onlyonce.Engine {
	t.Helper()

	engine, err := onlyonce.New(s, opts...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}

	t.Cleanup(func() {
		if n := engine.Seats(); n != 0 {
			t.Errorf("%d seats of waiters were not given back", n)
		}

		if n := engine.Flights(); n != 0 {
			t.Errorf("%d flights have not landed", n)
		}
	})

	return engine
}

func withGuarantee(g onlyonce.Guarantee) onlyonce.Option {
	return onlyonce.WithPolicy(onlyonce.Policy{Guarantee: g, TransactionMode: onlyonce.JoinedTransaction})
}

func pay(key string) onlyonce.Call {
	return onlyonce.Call{Method: method, Key: key, Request: []byte("10 EUR to Ann")}
}

// payOther is another request under the same key.
func payOther(key string) onlyonce.Call {
	return onlyonce.Call{Method: method, Key: key, Request: []byte("99 EUR to Bob")}
}

func identity(key string) onlyonce.Identity { return onlyonce.Identity{Method: method, Key: key} }

// payments is a handler that counts its runs.
type payments struct{ runs atomic.Int64 }

// do answers with a body that names the run.
func (p *payments) do(context.Context) ([]byte, error) {
	return []byte{'#', byte('0' + p.runs.Add(1))}, nil
}

// lasting is a handler that takes d and ignores its context.
func (p *payments) lasting(d time.Duration) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		time.Sleep(d)

		return p.do(ctx)
	}
}

// cancellable is a handler that takes d, or fails with the cause of its cancellation.
func (p *payments) cancellable(d time.Duration) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		select {
		case <-time.After(d):
			return p.do(ctx)
		case <-ctx.Done():
			p.runs.Add(1)

			return nil, context.Cause(ctx)
		}
	}
}

func (p *payments) failing(err error) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		p.runs.Add(1)

		return nil, err
	}
}

func (p *payments) mustHaveRun(t *testing.T, times int64) {
	t.Helper()

	if n := p.runs.Load(); n != times {
		t.Errorf("the handler ran %d times, want %d", n, times)
	}
}

// answer is the result of a call.
type answer struct {
	onlyonce.Result

	err error
	at  time.Time
}

// inBackground starts a call and returns a channel for its answer.
func inBackground(
	ctx context.Context, e *onlyonce.Engine, call onlyonce.Call, fn func(context.Context) ([]byte, error),
) <-chan answer {
	got := make(chan answer, 1)

	go func() {
		result, err := e.Do(ctx, call, fn)
		got <- answer{Result: result, err: err, at: time.Now()}
	}()

	return got
}

func do(t *testing.T, e *onlyonce.Engine, call onlyonce.Call, fn func(context.Context) ([]byte, error)) answer {
	t.Helper()

	result, err := e.Do(t.Context(), call, fn)

	return answer{Result: result, err: err, at: time.Now()}
}

func (a answer) mustBe(t *testing.T, status onlyonce.Status, body string) {
	t.Helper()

	if a.err != nil || a.Status != status || string(a.Body) != body {
		t.Errorf("got %s %q, %v; want %s %q", a.Status, a.Body, a.err, status, body)
	}
}

func (a answer) mustBeRejected(t *testing.T, reason onlyonce.Reason) {
	t.Helper()

	_ = a.rejection(t, reason)
}

// rejection returns the rejection of the call, which must have the reason.
func (a answer) rejection(t *testing.T, reason onlyonce.Reason) *onlyonce.Rejection {
	t.Helper()

	rejection, ok := errors.AsType[*onlyonce.Rejection](a.err)
	if !ok || rejection.Reason != reason || a.Status != onlyonce.StatusRejected {
		t.Errorf("got %s %q, %v; want a rejection with %s", a.Status, a.Body, a.err, reason)

		return &onlyonce.Rejection{}
	}

	return rejection
}

func (a answer) mustFail(t *testing.T, status onlyonce.Status, target error) {
	t.Helper()

	if !errors.Is(a.err, target) || a.Status != status {
		t.Errorf("got %s %q, %v; want %s with %v", a.Status, a.Body, a.err, status, target)
	}
}

// crashed leaves the record of an owner whose process has died right after its claim.
func crashed(t *testing.T, s store.Store, key string, g onlyonce.Guarantee, lease time.Duration) store.Claim {
	t.Helper()

	probe := newFaultStore()
	probe.broken(failing(store.ErrFull), opClaim)

	policy := onlyonce.Policy{Guarantee: g, Lease: lease, MaxRun: max(lease, onlyonce.DefaultMaxRun)}
	_, _ = newEngine(t, probe, onlyonce.WithPolicy(policy)).Do(t.Context(), pay(key), nil)

	claim := probe.lastClaim()
	if res, err := s.Claim(t.Context(), claim); err != nil || !res.Applied {
		t.Fatalf("Claim = %+v, %v", res, err)
	}

	return claim
}

func record(t *testing.T, e *onlyonce.Engine, key string) onlyonce.Record {
	t.Helper()

	rec, err := e.Lookup(t.Context(), identity(key))
	if err != nil {
		t.Fatalf("Lookup: %v", err)
	}

	return rec
}

// mustBeState checks the record of the key "k".
func mustBeState(t *testing.T, e *onlyonce.Engine, state store.State) {
	t.Helper()

	if rec := record(t, e, "k"); rec.State != state {
		t.Errorf("the record is %v, want %v", rec.State, state)
	}
}

// journal is an observer that remembers.
type journal struct {
	mu     sync.Mutex
	events []onlyonce.Event
	times  []time.Time
}

func (j *journal) Observe(_ context.Context, event onlyonce.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()

	j.events = append(j.events, event)
	j.times = append(j.times, time.Now())
}

// of returns the events of a kind.
func (j *journal) of(kind onlyonce.EventKind) []onlyonce.Event {
	j.mu.Lock()
	defer j.mu.Unlock()

	var found []onlyonce.Event

	for i := range j.events {
		if j.events[i].Kind == kind {
			found = append(found, j.events[i])
		}
	}

	return found
}

func (j *journal) mustHave(t *testing.T, kind onlyonce.EventKind, times int) {
	t.Helper()

	if n := len(j.of(kind)); n != times {
		t.Errorf("%d events %q, want %d", n, kind, times)
	}
}

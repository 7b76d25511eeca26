//go:build unix

package crash

import (
	"context"
	"net/rpc"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// probe reports to the test process which point its server has reached.
type probe struct {
	world  *rpc.Client
	server string
}

// reach returns when the test process lets the server go on.
func (p *probe) reach(v *Visit) {
	v.Server = p.server

	if err := p.world.Call("Journal.Reach", v, new(bool)); err != nil {
		os.Exit(1) // the test process has gone
	}
}

func keyOf(ctx context.Context) string {
	keys := metadata.ValueFromIncomingContext(ctx, interceptor.KeyHeader)
	if len(keys) == 0 {
		return ""
	}

	return keys[0]
}

// visit is the visit of a run's handler.
func visit(ctx context.Context, at point) *Visit {
	run, _ := onlyonce.RunFromContext(ctx)

	return &Visit{At: at, Key: run.Key, Fence: run.Fence, Attempt: run.Attempt}
}

// inside is between the interceptor and the handler.
func (p *probe) inside(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	p.reach(visit(ctx, atHandler))

	resp, err := handler(ctx, req)

	p.reach(visit(ctx, atReturned))

	return resp, err
}

// outside is between the interceptor and the network.
func (p *probe) outside(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)

	var answer proto.Message = status.Convert(err).Proto()
	if msg, ok := resp.(proto.Message); ok && err == nil {
		answer = msg
	}

	body, problem := proto.MarshalOptions{Deterministic: true}.Marshal(answer)
	if problem != nil {
		return nil, problem
	}

	p.reach(&Visit{At: atAnswer, Key: keyOf(ctx), Body: body})

	return resp, err
}

// observe reports the engine's events, except calls, which have their own points.
func (p *probe) observe(_ context.Context, event onlyonce.Event) {
	if event.Kind != onlyonce.EventCall {
		p.reach(&Visit{At: point(event.Kind.String()), Key: event.Key, Fence: event.Fence})
	}
}

// probedStore reports the results of claims, and shifts the store's time.
//
// The clock of a single process cannot be set. A server sees its own clock and, in the results of operations, the store's. So a store
// that is an hour ahead is the same to the server as an own clock that is an hour behind.
type probedStore struct {
	backend

	probe *probe
	ahead time.Duration
}

// Claim implements [store.Store].
func (s *probedStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	res, err := s.backend.Claim(ctx, op)

	if err == nil {
		at := atRefused
		if res.Applied {
			at = atClaimed
		}

		s.probe.reach(&Visit{At: at, Key: op.ReadableKey, Fence: res.Record.Fence, Attempt: int(res.Record.Attempts)})
	}

	return s.shown(res), err
}

// Renew implements [store.Store].
func (s *probedStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	res, err := s.backend.Renew(ctx, op)

	return s.shown(res), err
}

// Complete implements [store.Store].
func (s *probedStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	res, err := s.backend.Complete(ctx, op)

	return s.shown(res), err
}

// Release implements [store.Store].
func (s *probedStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	res, err := s.backend.Release(ctx, op)

	return s.shown(res), err
}

// Hold implements [store.Store].
func (s *probedStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	res, err := s.backend.Hold(ctx, op)

	return s.shown(res), err
}

// Lookup implements [store.Inspector].
func (s *probedStore) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	res, err := s.backend.Lookup(ctx, key)

	return s.shown(res), err
}

// Resolve implements [store.Inspector].
func (s *probedStore) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	res, err := s.backend.Resolve(ctx, op)

	return s.shown(res), err
}

// Forget implements [store.Forgetter].
func (s *probedStore) Forget(ctx context.Context, op store.Forgetting) (store.Result, error) {
	res, err := s.backend.Forget(ctx, op)

	return s.shown(res), err
}

// Capabilities implements [store.Store].
func (s *probedStore) Capabilities() store.Capabilities {
	return store.Capabilities{Inspector: s, Forgetter: s, Lister: s.backend.Capabilities().Lister}
}

// shown moves all times of a result.
func (s *probedStore) shown(res store.Result) store.Result {
	rec := &res.Record

	for _, at := range []*time.Time{
		&res.Now, &rec.LeaseUntil, &rec.OwnerAliveUntil, &rec.FirstStart, &rec.LastStart, &rec.EndedAt, &rec.ExpiresAt,
	} {
		if !at.IsZero() {
			*at = at.Add(s.ahead)
		}
	}

	return res
}

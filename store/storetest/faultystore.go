package storetest

import (
	"context"

	"github.com/onlyonce-go/onlyonce/store"
)

// Store returns the store at the near end of the line. It implements [store.Inspector] and [store.Notifier] if the store
// at the far end does. It is never [store.Immediate], since it can block, and it is not [store.Transactional], since a
// transaction has no replies to lose between its statements and the record.
func (f *Faulty) Store() store.Store {
	near := faultyStore{f}
	inspector, inspects := f.store.(store.Inspector)
	notifier, notifies := f.store.(store.Notifier)

	switch {
	case inspects && notifies:
		return struct {
			faultyStore
			faultyInspector
			faultyNotifier
		}{near, faultyInspector{f, inspector}, faultyNotifier{f, notifier}}
	case inspects:
		return struct {
			faultyStore
			faultyInspector
		}{near, faultyInspector{f, inspector}}
	case notifies:
		return struct {
			faultyStore
			faultyNotifier
		}{near, faultyNotifier{f, notifier}}
	default:
		return near
	}
}

type faultyStore struct{ line *Faulty }

func (s faultyStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	return s.line.pass(ctx, OpClaim, op.Key, func(ctx context.Context) (store.Result, error) { return s.line.store.Claim(ctx, op) })
}

func (s faultyStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	return s.line.pass(ctx, OpRenew, op.Key, func(ctx context.Context) (store.Result, error) { return s.line.store.Renew(ctx, op) })
}

func (s faultyStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	return s.line.pass(ctx, OpComplete, op.Key, func(ctx context.Context) (store.Result, error) { return s.line.store.Complete(ctx, op) })
}

func (s faultyStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	return s.line.pass(ctx, OpRelease, op.Claim.Key, func(ctx context.Context) (store.Result, error) { return s.line.store.Release(ctx, op) })
}

func (s faultyStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	return s.line.pass(ctx, OpHold, op.Key, func(ctx context.Context) (store.Result, error) { return s.line.store.Hold(ctx, op) })
}

type faultyInspector struct {
	line  *Faulty
	store store.Inspector
}

func (s faultyInspector) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	return s.line.pass(ctx, OpLookup, key, func(ctx context.Context) (store.Result, error) { return s.store.Lookup(ctx, key) })
}

func (s faultyInspector) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	return s.line.pass(ctx, OpResolve, op.Key, func(ctx context.Context) (store.Result, error) { return s.store.Resolve(ctx, op) })
}

type faultyNotifier struct {
	line  *Faulty
	store store.Notifier
}

func (s faultyNotifier) Watch(key store.Key) (changed <-chan struct{}, stop func()) {
	changed, stop = s.store.Watch(key)

	if fault := s.line.plan(OpWatch, key).fault; fault == FaultLostRequest || fault == FaultLostReply {
		changed = make(chan struct{})
	}

	return changed, stop
}

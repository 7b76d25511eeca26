package storetest

import (
	"context"
	"iter"

	"github.com/onlyonce-go/onlyonce/store"
)

// Store returns the store at the near end of the line. It has the capabilities of the far store, through the line, with two exceptions:
//   - It is neither Immediate nor Bounded, because it can block.
//   - It is not Transactional, because a transaction has no lost replies between its statements and the record.
func (f *Faulty) Store() store.Store { return faultyStore{f} }

type faultyStore struct{ line *Faulty }

// Capabilities returns the capabilities of the far store, each through the line.
func (s faultyStore) Capabilities() store.Capabilities {
	far := s.line.store.Capabilities()
	near := store.Capabilities{UnknownRetention: far.UnknownRetention, Part: far.Part, Home: far.Home}

	if far.Inspector != nil {
		near.Inspector = faultyInspector{s.line, far.Inspector}
	}

	if far.Lister != nil {
		near.Lister = faultyLister{s.line, far.Lister}
	}

	if far.Forgetter != nil {
		near.Forgetter = faultyForgetter{s.line, far.Forgetter}
	}

	if far.Notifier != nil {
		near.Notifier = faultyNotifier{s.line, far.Notifier}
	}

	return near
}

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

type faultyForgetter struct {
	line  *Faulty
	store store.Forgetter
}

func (s faultyForgetter) Forget(ctx context.Context, op store.Forgetting) (store.Result, error) {
	return s.line.pass(ctx, OpForget, op.Key, func(ctx context.Context) (store.Result, error) { return s.store.Forget(ctx, op) })
}

type faultyLister struct {
	line  *Faulty
	store store.Lister
}

// ListUnknown yields only an error if the request or the reply is lost, otherwise everything.
func (s faultyLister) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, s.store.ListUnknown)
}

// ListRunning lists like ListUnknown.
func (s faultyLister) ListRunning(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, s.store.ListRunning)
}

func (s faultyLister) list(
	ctx context.Context, list func(context.Context) iter.Seq2[store.Listed, error],
) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		begin := func(context.Context) (store.Result, error) { return store.Result{}, nil }

		if _, err := s.line.pass(ctx, OpList, store.Key{}, begin); err != nil {
			yield(store.Listed{}, err)

			return
		}

		for listed, err := range list(ctx) {
			if !yield(listed, err) {
				return
			}
		}
	}
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

package onlyonce_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// faultStore is a remote store: its operations can be lost, late, slow or refused on their way to a memstore. It is no
// Notifier, and it is an Inspector.
type faultStore struct {
	mem *memstore.Store

	mu      sync.Mutex
	once    map[operation][]fault
	always  map[operation]fault
	sent    map[operation][]time.Time
	claims  []store.Claim
	rewrite func(*store.Record)
}

type operation string

const (
	opClaim    operation = "claim"
	opRenew    operation = "renew"
	opComplete operation = "complete"
	opRelease  operation = "release"
	opHold     operation = "hold"
)

func everyOperation() []operation {
	return []operation{opClaim, opRenew, opComplete, opRelease, opHold}
}

// floodAfter is how many operations of a kind take no time. Fake time stands still while a goroutine is busy, so a loop
// without a pause would never end otherwise.
const floodAfter = 2_000

// deliver hands an operation to the memstore.
type deliver func(ctx context.Context) (store.Result, error)

// fault decides what happens to an operation on its way.
type fault func(ctx context.Context, deliver deliver) (store.Result, error)

var errLine = errors.New("the line is dead")

func lostRequest(context.Context, deliver) (store.Result, error) { return store.Result{}, errLine }

func lostReply(ctx context.Context, deliver deliver) (store.Result, error) {
	_, _ = deliver(ctx)

	return store.Result{}, errLine
}

func hanging(ctx context.Context, _ deliver) (store.Result, error) {
	<-ctx.Done()

	return store.Result{}, ctx.Err()
}

// slow delivers after a while, whatever becomes of the context.
func slow(d time.Duration) fault {
	return func(ctx context.Context, deliver deliver) (store.Result, error) {
		time.Sleep(d)

		return deliver(context.WithoutCancel(ctx))
	}
}

// distant delivers after a delay, or fails when the context ends.
func distant(d time.Duration) fault {
	return func(ctx context.Context, deliver deliver) (store.Result, error) {
		select {
		case <-time.After(d):
			return deliver(ctx)
		case <-ctx.Done():
			return store.Result{}, ctx.Err()
		}
	}
}

// late fails at once, and arrives all the same after a while.
func late(d time.Duration) fault {
	return func(ctx context.Context, deliver deliver) (store.Result, error) {
		ctx = context.WithoutCancel(ctx)

		go func() {
			time.Sleep(d)
			_, _ = deliver(ctx)
		}()

		return store.Result{}, errLine
	}
}

func failing(err error) fault {
	return func(context.Context, deliver) (store.Result, error) { return store.Result{}, err }
}

func newFaultStore() *faultStore {
	return &faultStore{
		mem:    memstore.New(),
		once:   make(map[operation][]fault),
		always: make(map[operation]fault),
		sent:   make(map[operation][]time.Time),
	}
}

// next gives each of the next operations of a kind one fault, ahead of the faults of broken; nil delivers.
func (s *faultStore) next(op operation, faults ...fault) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.once[op] = append(s.once[op], faults...)
}

// broken gives all operations of the kinds the same fault; nil ends it.
func (s *faultStore) broken(f fault, ops ...operation) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, op := range ops {
		s.always[op] = f
	}
}

// count is how many operations of a kind were sent.
func (s *faultStore) count(op operation) int { return len(s.times(op)) }

// times are the times at which operations of a kind were sent.
func (s *faultStore) times(op operation) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()

	return append([]time.Time(nil), s.sent[op]...)
}

// lastClaim is the claim that was sent last.
func (s *faultStore) lastClaim() store.Claim {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.claims[len(s.claims)-1]
}

// rewriteAnswers changes the records that claims are answered with.
func (s *faultStore) rewriteAnswers(f func(*store.Record)) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.rewrite = f
}

func (s *faultStore) pass(ctx context.Context, op operation, deliver deliver) (store.Result, error) {
	s.mu.Lock()
	s.sent[op] = append(s.sent[op], time.Now())
	flood := len(s.sent[op]) > floodAfter

	f := s.always[op]
	if queue := s.once[op]; len(queue) > 0 {
		f, s.once[op] = queue[0], queue[1:]
	}
	s.mu.Unlock()

	if flood {
		time.Sleep(time.Millisecond)
	}

	if f == nil {
		return deliver(ctx)
	}

	return f(ctx, deliver)
}

// restartEmpty loses all records.
func (s *faultStore) restartEmpty() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.mem = memstore.New()
}

func (s *faultStore) memory() *memstore.Store {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.mem
}

func (s *faultStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	s.mu.Lock()
	s.claims = append(s.claims, op)
	rewrite := s.rewrite
	s.mu.Unlock()

	res, err := s.pass(ctx, opClaim, func(ctx context.Context) (store.Result, error) { return s.memory().Claim(ctx, op) })
	if rewrite != nil {
		rewrite(&res.Record)
	}

	return res, err
}

func (s *faultStore) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	return s.pass(ctx, opRenew, func(ctx context.Context) (store.Result, error) { return s.memory().Renew(ctx, op) })
}

func (s *faultStore) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	return s.pass(ctx, opComplete, func(ctx context.Context) (store.Result, error) { return s.memory().Complete(ctx, op) })
}

func (s *faultStore) Release(ctx context.Context, op store.Release) (store.Result, error) {
	return s.pass(ctx, opRelease, func(ctx context.Context) (store.Result, error) { return s.memory().Release(ctx, op) })
}

func (s *faultStore) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	return s.pass(ctx, opHold, func(ctx context.Context) (store.Result, error) { return s.memory().Hold(ctx, op) })
}

func (s *faultStore) Capabilities() store.Capabilities {
	return store.Capabilities{Inspector: s, Forgetter: s, Lister: s}
}

func (s *faultStore) Forget(ctx context.Context, op store.Forgetting) (store.Result, error) {
	return s.memory().Forget(ctx, op)
}

func (s *faultStore) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.memory().ListUnknown(ctx)
}

func (s *faultStore) ListRunning(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.memory().ListRunning(ctx)
}

func (s *faultStore) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	return s.memory().Lookup(ctx, key)
}

func (s *faultStore) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	return s.memory().Resolve(ctx, op)
}

// notifyingStore is a faultStore that notifies.
type notifyingStore struct {
	*faultStore

	// before is called before a watch begins.
	before func()
	open   atomic.Int64
}

// notifying makes a store and checks at the end of the test that each of its watches was stopped once.
func notifying(t *testing.T, s *faultStore) *notifyingStore {
	t.Helper()

	n := &notifyingStore{faultStore: s, before: func() {}}

	t.Cleanup(func() {
		if open := n.open.Load(); open != 0 {
			t.Errorf("%d more watches were begun than stopped", open)
		}
	})

	return n
}

func (s *notifyingStore) Capabilities() store.Capabilities {
	can := s.faultStore.Capabilities()
	can.Notifier = s

	return can
}

func (s *notifyingStore) Watch(key store.Key) (<-chan struct{}, func()) {
	s.before()
	s.open.Add(1)

	changed, stop := s.memory().Watch(key)

	return changed, func() {
		s.open.Add(-1)
		stop()
	}
}

// transactionalStore lets runs join transactions, and sees none that do.
type transactionalStore struct{ *faultStore }

func (s transactionalStore) Capabilities() store.Capabilities {
	can := s.faultStore.Capabilities()
	can.Transactional = s

	return can
}

func (transactionalStore) Begin(context.Context, store.Claim, time.Duration) (store.Result, store.Transaction, error) {
	panic("a single transaction was begun")
}

func (transactionalStore) Join(ctx context.Context, _ store.Joinable) context.Context { return ctx }

// plainStore can do nothing but the operations of a store.
type plainStore struct{ store.Store }

func (plainStore) Capabilities() store.Capabilities { return store.Capabilities{} }

// blindStore cannot read its records.
type blindStore struct{ *memstore.Store }

func (s blindStore) Capabilities() store.Capabilities {
	return store.Capabilities{Inspector: s, Immediate: true}
}

func (blindStore) Lookup(context.Context, store.Key) (store.Result, error) {
	return store.Result{}, errLine
}

func (blindStore) Resolve(context.Context, store.Resolution) (store.Result, error) {
	return store.Result{}, errLine
}

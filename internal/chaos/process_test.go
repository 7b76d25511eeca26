package chaos_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// process is an engine on a line of its own to the world's store.
type process struct {
	world   *world
	number  int
	engine  *onlyonce.Engine
	line    *storetest.Faulty
	records backend
	cut     func() // ends its connections, when it dies

	died chan struct{} // closed when it dies
	dead bool          // guarded by the history

	mu          sync.Mutex
	pausedUntil time.Time
	rng         *rand.Rand
}

func (w *world) startProcess(faults storetest.Faults) *process {
	p := &process{world: w, number: w.started, died: make(chan struct{}), rng: source(w.scenario.seed, "process", w.started)}
	w.started++

	records := w.connect()

	p.line = storetest.NewFaulty(pausable{p, records}, w.scenario.seed+uint64(p.number)<<32, faults)

	near, cut := p.line.Store(), func() {}
	if own, ok := records.(connection); ok { // it has the faults of its own line
		near, cut = own, own.cut
	}

	p.records, p.cut = records, cut

	var err error

	p.engine, err = onlyonce.New(near, onlyonce.WithPolicy(w.policy), onlyonce.WithLimits(w.limits),
		onlyonce.WithObserver(onlyonce.SlogObserver(slog.New(slog.DiscardHandler)))) // the faults would fill every log
	if err != nil {
		panic(err)
	}

	w.all = append(w.all, p)

	return p
}

// connection is a store that has transactions, and a line of its own that can be cut.
type connection interface {
	backend
	store.Transactional
	cut()
}

// die ends a process: its handlers do nothing any more, and nothing that it sends from now on arrives.
func (p *process) die() {
	p.line.Set(storetest.Faults{LostRequest: 1})
	p.cut()

	h := &p.world.history

	h.mu.Lock()
	defer h.mu.Unlock()

	if !p.dead {
		p.dead = true
		close(p.died)
		h.notef(onlyonce.Identity{}, "process %d dies", p.number)
	}
}

func (p *process) pause(d time.Duration) {
	p.world.history.mu.Lock()
	p.world.history.notef(onlyonce.Identity{}, "process %d pauses for %v", p.number, d)
	p.world.history.mu.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()

	p.pausedUntil = time.Now().Add(d)
}

func (p *process) paused() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()

	return time.Until(p.pausedUntil)
}

// awake waits for the end of a pause. It reports whether the process is alive.
func (p *process) awake() bool {
	for d := p.paused(); d > 0; d = p.paused() {
		time.Sleep(d)
	}

	return p.alive()
}

// sleep waits for a duration or for the end of the context. It reports whether the process is alive.
func (p *process) sleep(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()

		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-p.died:
		}
	}

	return p.alive()
}

// alive returns true, or, if the process has died, false at the end of the run.
func (p *process) alive() bool {
	select {
	case <-p.died:
		<-p.world.end

		return false
	default:
		return true
	}
}

// rest is the waiting time of a handler. It reports whether the process is alive. Handlers that ignore their context
// end at grace.
func (p *process) rest(ctx context.Context, d time.Duration, grace time.Time, ignores bool) bool {
	if ignores {
		return p.sleep(context.WithoutCancel(ctx), min(d, max(time.Until(grace), 0)))
	}

	return p.sleep(ctx, d) && p.awake()
}

// pausable is the store as seen by a process that may pause. A request during a pause either left before it, and its
// reply is seen after it, or leaves after it.
type pausable struct {
	process *process
	store   backend
}

// backend is the interface of the world's stores.
type backend interface {
	store.Store
	store.Inspector
	store.Forgetter
}

func (s pausable) pass(ctx context.Context, send func(context.Context) (store.Result, error)) (store.Result, error) {
	p := s.process

	p.mu.Lock()
	before := p.rng.IntN(2) == 0
	p.mu.Unlock()

	if p.paused() <= 0 {
		return send(ctx)
	}

	if before {
		res, err := send(ctx)
		time.Sleep(p.paused())

		return res, err
	}

	time.Sleep(p.paused())

	select {
	case <-p.died:
		return store.Result{}, errDied
	default:
		return send(context.WithoutCancel(ctx))
	}
}

func (s pausable) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	return s.pass(ctx, func(ctx context.Context) (store.Result, error) {
		res, err := s.store.Claim(ctx, op)
		s.process.world.noteLease(ctx, &res)

		return res, err
	})
}

func (s pausable) Renew(ctx context.Context, op store.Renewal) (store.Result, error) {
	return s.pass(ctx, func(ctx context.Context) (store.Result, error) {
		res, err := s.store.Renew(ctx, op)
		s.process.world.noteLease(ctx, &res)

		return res, err
	})
}

func (s pausable) Complete(ctx context.Context, op store.Completion) (store.Result, error) {
	return s.pass(ctx, func(ctx context.Context) (store.Result, error) { return s.store.Complete(ctx, op) })
}

func (s pausable) Release(ctx context.Context, op store.Release) (store.Result, error) {
	return s.pass(ctx, func(ctx context.Context) (store.Result, error) { return s.store.Release(ctx, op) })
}

func (s pausable) Hold(ctx context.Context, op store.Hold) (store.Result, error) {
	return s.pass(ctx, func(ctx context.Context) (store.Result, error) { return s.store.Hold(ctx, op) })
}

func (s pausable) Lookup(ctx context.Context, key store.Key) (store.Result, error) {
	return s.pass(ctx, func(ctx context.Context) (store.Result, error) { return s.store.Lookup(ctx, key) })
}

func (s pausable) Resolve(ctx context.Context, op store.Resolution) (store.Result, error) {
	return s.pass(ctx, func(ctx context.Context) (store.Result, error) { return s.store.Resolve(ctx, op) })
}

func (s pausable) Forget(ctx context.Context, op store.Forgetting) (store.Result, error) {
	return s.pass(ctx, func(ctx context.Context) (store.Result, error) { return s.store.Forget(ctx, op) })
}

func (s pausable) Capabilities() store.Capabilities {
	can := store.Capabilities{Inspector: s, Forgetter: s}
	if s.process.world.scenario.notifies {
		can.Notifier = s.store.Capabilities().Notifier
	}

	return can
}

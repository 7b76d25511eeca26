package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// world is one run.
type world struct {
	scenario *scenario
	policy   onlyonce.Policy // of a process that starts
	limits   onlyonce.Limits // of the same
	habits   habits
	connect  func() backend // to the store, for a process that starts
	ledger   ledger         // where effects are rows of the store's database; otherwise nil
	history  history

	mu      sync.Mutex
	live    []*process // the processes that clients call
	all     []*process
	started int

	calls      sync.WaitGroup // of the engines
	background sync.WaitGroup // effects that are on their way, and drains
	end        chan struct{}  // closed when the dead may end
}

// habits are mistakes of the people and programs around the engine. The oracle must find them.
type habits struct {
	// freshKeys lets clients try an unknown outcome again with a new key.
	freshKeys bool
	// lyingHandlers claim that nothing happened although something did.
	lyingHandlers bool
	// carelessOperator reads the ledger at any time, and relies on the engine to refuse an early settlement.
	carelessOperator bool
}

// live runs a scenario on a store, and returns its history. Call it in a bubble.
func (s *scenario) live(st backend, how habits) *history {
	before := goleak.IgnoreCurrent()
	w := &world{
		scenario: s, policy: s.policy, limits: s.limits, habits: how,
		connect: func() backend { return st }, end: make(chan struct{}),
	}
	w.history.began = time.Now()

	for range s.processes {
		w.live = append(w.live, w.startProcess(s.faults))
	}

	var clients, people sync.WaitGroup

	for i := range s.purposes {
		for n := range s.purposes[i].clients {
			clients.Go(func() { w.newClient(&s.purposes[i], n).fulfil() })
		}
	}

	people.Go(w.trouble)

	if s.operated || how.carelessOperator {
		people.Go(w.operate)
	}

	people.Wait()

	w.heal()
	clients.Wait()
	w.arriveAll()
	w.mustBeSettledIfNobodyDied()
	w.endDead()
	w.mustAnswer()

	for _, p := range w.all {
		p.line.Close()
	}

	synctest.Wait()

	if err := goleak.Find(before); err != nil {
		w.history.violationf(onlyonce.Identity{}, "something was left behind: %v", err)
	}

	w.history.took = time.Since(w.history.began)

	return &w.history
}

func (w *world) notef(format string, args ...any) {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()

	w.history.notef(onlyonce.Identity{}, format, args...)
}

func (w *world) violationf(id onlyonce.Identity, format string, args ...any) {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()

	w.history.violationf(id, format, args...)
}

// patience is how long people wait, who have less of it in real time.
func (w *world) patience(inBubble, inRealTime time.Duration) time.Duration {
	if w.history.realTime {
		return inRealTime
	}

	return inBubble
}

// pick returns a process for a client. The process may die right afterwards.
func (w *world) pick(rng *rand.Rand) *process {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.live[rng.IntN(len(w.live))]
}

// trouble makes faults of processes until the horizon.
func (w *world) trouble() {
	s := w.scenario
	rng := source(s.seed, "trouble")
	quiet := between(rng, s.policy.Lease/2, 3*s.policy.Lease)

	for {
		time.Sleep(between(rng, 0, 2*quiet))

		if time.Since(w.history.began) > s.horizon {
			return
		}

		i := rng.IntN(s.processes)
		p := w.live[i]
		d := between(rng, s.policy.Lease/5, 3*s.policy.Lease)

		kind := rng.IntN(6)
		if s.immortal {
			kind = rng.IntN(4)
		}

		switch kind {
		case 0:
			p.pause(d)
		case 1:
			w.notef("process %d is cut off for %v", p.number, d)
			p.line.Set(storetest.Faults{LostRequest: 1})
			time.Sleep(d)
			p.line.Set(s.faults)
		case 2:
			w.notef("process %d and its store are well for %v", p.number, d)
			p.line.Set(storetest.Faults{})
			time.Sleep(d)
			p.line.Set(s.faults)
		case 3:
			w.outage(between(rng, s.policy.Lease/2, 2*s.policy.Lease), s.policy.Lease+d)
		case 4:
			p.die()
			w.replace(i)
		case 5:
			w.notef("process %d is drained for %v", p.number, d)
			w.background.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), d)
				defer cancel()

				_ = p.engine.Drain(ctx)
				p.die()
			})
			w.replace(i)
		}
	}
}

// outage makes the store slow for a while, and then cuts off all processes for longer than a lease. So the last
// successful renewal was answered late.
func (w *world) outage(slow, down time.Duration) {
	s := w.scenario
	set := func(faults storetest.Faults) {
		for _, p := range w.live {
			p.line.Set(faults)
		}
	}

	w.notef("the store is slow for %v, and then down for %v", slow, down)
	set(storetest.Faults{Slow: 1, Delay: s.policy.Lease})
	time.Sleep(slow)
	set(storetest.Faults{LostRequest: 1})
	time.Sleep(down)
	set(s.faults)
}

func (w *world) replace(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.live[i] = w.startProcess(w.scenario.faults)
}

// heal ends all faults. Engines that are alive must then be able to end all that they have begun.
func (w *world) heal() {
	w.notef("the faults stop")

	for _, p := range w.live {
		p.line.Set(storetest.Faults{})
		p.awake()
	}

	for _, p := range w.live {
		// In real time, the short timeouts of the scenario still hold, and a busy machine often misses them.
		patience := w.patience(10*time.Minute, 5*time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), patience)

		if err := p.engine.Drain(ctx); err != nil {
			w.violationf(onlyonce.Identity{}, "process %d is well and is not drained after %v: %v\n%s", p.number, patience, err, stacks())
		}

		cancel()
	}
}

// stacks returns the stacks of all goroutines in a call, to show which call does not end.
func stacks() string {
	all := make([]byte, 16<<20)
	all = all[:runtime.Stack(all, true)]

	var calls []string

	for stack := range strings.SplitSeq(string(all), "\n\n") {
		if strings.Contains(stack, "onlyonce.(*Engine)") {
			calls = append(calls, stack)
		}
	}

	return strings.Join(calls, "\n\n")
}

// arriveAll delivers all late messages.
func (w *world) arriveAll() {
	w.background.Wait()

	for _, p := range w.all {
		p.line.Flush()
	}
}

// endDead ends the goroutines of dead processes, without an effect.
func (w *world) endDead() {
	close(w.end)

	for _, p := range w.all {
		ctx, cancel := context.WithTimeout(context.Background(), w.patience(time.Minute, time.Second))
		_ = p.engine.Drain(ctx)

		cancel()
	}

	w.calls.Wait()
	w.background.Wait()
}

// mustBeSettledIfNobodyDied checks that a key is not left locked. Exceptions are keys of a process that has died, and
// handlers that ended ambiguously.
func (w *world) mustBeSettledIfNobodyDied() {
	time.Sleep(w.scenario.policy.MaxRun + 2*w.scenario.policy.Lease)

	p := w.startProcess(storetest.Faults{})

	for _, id := range w.identities() {
		rec, err := p.engine.Lookup(context.Background(), id)
		if err != nil {
			w.violationf(id, "its record cannot be read: %v", err)
		}

		if rec.Unknown && !w.excused(id) {
			w.violationf(id, "the record is %v with fence %d, and nobody died or ended ambiguously", rec.State, rec.Fence)
		}
	}
}

// excused reports whether a record may be left unsettled.
func (w *world) excused(id onlyonce.Identity) bool {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()

	for _, a := range w.history.attempts {
		if a.id == id && (a.process.dead || a.run != nil && a.run.value == "" && !a.run.notExecuted) {
			return true
		}
	}

	return false
}

// mustAnswer checks that there is no dead end: after the operator has settled unknown outcomes, a call gets a definite
// answer at once.
func (w *world) mustAnswer() {
	p := w.startProcess(storetest.Faults{})

	for _, id := range w.identities() {
		if err := w.settle(p, id); err != nil {
			w.violationf(id, "the operator cannot settle it at the end: %v", err)
		}

		answered := false

		for i := range w.scenario.purposes {
			if purpose := &w.scenario.purposes[i]; !answered && w.concerns(id, purpose) {
				a := &attempt{purpose: purpose, id: id, process: p, plan: promptPlan(), last: true}
				answered = w.call(context.Background(), a) && definite(a)
			}
		}

		if !answered {
			w.violationf(id, "nobody gets a definite answer")
		}
	}

	if err := p.engine.Drain(context.Background()); err != nil {
		w.violationf(onlyonce.Identity{}, "Drain: %v", err)
	}

	w.calls.Wait()
}

func definite(a *attempt) bool {
	return a.result.Status == onlyonce.StatusExecuted || a.result.Status == onlyonce.StatusReplayed
}

// identities are all that were ever called, in a fixed order.
func (w *world) identities() []onlyonce.Identity {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()

	return w.history.identities()
}

func (h *history) identities() []onlyonce.Identity {
	var all []onlyonce.Identity

	for _, a := range h.attempts {
		if !slices.Contains(all, a.id) {
			all = append(all, a.id)
		}
	}

	slices.SortFunc(all, func(a, b onlyonce.Identity) int {
		return slices.Compare([]string{a.Scope, a.Method, a.Key}, []string{b.Scope, b.Method, b.Key})
	})

	return all
}

// concerns reports whether somebody has called an identity for a purpose.
func (w *world) concerns(id onlyonce.Identity, about *purpose) bool {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()

	return slices.ContainsFunc(w.history.attempts, func(a *attempt) bool { return a.id == id && a.purpose == about })
}

// request is the request for a purpose, the same at every attempt.
func request(p *purpose) []byte { return fmt.Append(nil, "please: ", p.name) }

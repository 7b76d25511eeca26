package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Faulty is an unreliable line to a store, for tests of a store under an engine, and of a service under its store:
//
//	line := storetest.NewFaulty(memstore.New(), seed, storetest.Faults{LostReply: 0.1, Late: 0.1, LateBy: time.Second})
//	defer line.Close()
//
//	engine, err := onlyonce.New(line.Store())
//
// A test can also say what happens to the very next operation:
//
//	line.Next(storetest.OpComplete, storetest.FaultLostReply)
//
// What becomes of an operation depends on the seed, on its kind, on its key, and on how many of that kind with that key
// came before it; so it does not depend on how operations on different keys interleave.
//
// Each Faulty is a line of its own. Several processes on one store are several of them around it.
//
// All its waiting is done on timers, so that it works on fake time, in a bubble of testing/synctest. It starts no
// goroutine but for late arrivals, and none outlives [Faulty.Close].
type Faulty struct {
	store store.Store
	seed  uint64

	mu      sync.Mutex
	faults  [opCount]Faults
	next    [opCount][]Fault
	visits  map[visit]uint64
	counts  [opCount][faultCount]int
	late    map[*arrival]struct{} // on their way
	arrived map[*arrival]struct{} // being decided by the store
	closed  bool
}

// visit names the operations that are counted together.
type visit struct {
	op  Op
	key store.Key
}

// NewFaulty returns a line to s. It panics if the faults are impossible.
func NewFaulty(s store.Store, seed uint64, faults Faults) *Faulty {
	f := &Faulty{
		store: s, seed: seed,
		visits: make(map[visit]uint64), late: make(map[*arrival]struct{}), arrived: make(map[*arrival]struct{}),
	}
	f.Set(faults)

	return f
}

// Set changes the faults of some operations from now on, or of all where it is given none. Faults{} heals the line,
// Faults{LostRequest: 1} cuts it. It panics if the faults are impossible.
func (f *Faulty) Set(faults Faults, ops ...Op) {
	if err := faults.validate(); err != nil {
		panic(err)
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	if len(ops) == 0 {
		for op := range f.faults {
			f.faults[op] = faults
		}
	}

	for _, op := range ops {
		f.faults[op] = faults
	}
}

// Next gives the next operations of a kind one fault each, whatever their probability. Delays are drawn as for those that
// come by chance.
func (f *Faulty) Next(op Op, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.next[op] = append(f.next[op], faults...)
}

// Count returns how many of the operations have met a fault, of all operations where it is given none. FaultNone counts
// those that were passed on untouched.
func (f *Faulty) Count(fault Fault, ops ...Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()

	n := 0

	if len(ops) == 0 {
		for op := range f.counts {
			n += f.counts[op][fault]
		}
	}

	for _, op := range ops {
		n += f.counts[op][fault]
	}

	return n
}

// plan is what is to become of one operation.
type plan struct {
	fault Fault
	// there and back are how long a slow operation takes.
	there, back time.Duration
	// late is after how long the copies of a late operation arrive.
	late []time.Duration
}

// plan decides about an operation and counts it.
func (f *Faulty) plan(op Op, key store.Key) plan {
	f.mu.Lock()
	defer f.mu.Unlock()

	v := visit{op, key}
	n := f.visits[v]
	f.visits[v]++

	faults := f.faults[op]
	if f.closed {
		faults = dead()
	}

	rng := f.random(v, n)
	p := plan{fault: faults.of(rng.Float64())}

	if queue := f.next[op]; len(queue) > 0 && !f.closed {
		p.fault, f.next[op] = queue[0], queue[1:]
	}

	if p.fault == FaultFull && op != OpClaim && op != OpRelease {
		p.fault = FaultNone
	}

	f.counts[op][p.fault]++
	total := upTo(rng, faults.Delay)
	p.there = upTo(rng, total)
	p.back = total - p.there
	p.late = []time.Duration{upTo(rng, faults.lateBy())}

	if p.fault == FaultLate && rng.IntN(2) == 0 {
		p.late = append(p.late, upTo(rng, faults.lateBy()))
	}

	return p
}

// random is the source of all decisions about the n-th visit.
func (f *Faulty) random(v visit, n uint64) *rand.Rand {
	data := binary.BigEndian.AppendUint64(nil, f.seed)
	data = binary.BigEndian.AppendUint64(data, n)
	data = append(data, byte(v.op))
	data = append(data, v.key[:]...)

	return rand.New(rand.NewChaCha8(sha256.Sum256(data)))
}

// upTo draws a duration from 0 to d.
func upTo(rng *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(d) + 1))
}

// deliver hands an operation to the store.
type deliver func(ctx context.Context) (store.Result, error)

// pass carries an operation to the store and its answer back, or does what the faults make of that.
func (f *Faulty) pass(ctx context.Context, op Op, key store.Key, arrive deliver) (store.Result, error) {
	p := f.plan(op, key)

	switch p.fault {
	case FaultLostReply:
		_, _ = arrive(ctx)
	case FaultLate:
		f.later(ctx, arrive, p.late)
	case FaultRepeat:
		f.later(ctx, arrive, p.late)

		return arrive(ctx)
	case FaultSlow:
		return slowly(ctx, op, arrive, p)
	case FaultLostRequest, FaultError, FaultFull:
	case FaultNone:
		return arrive(ctx)
	default:
		panic(fmt.Sprintf("storetest: %v was given to Next", p.fault))
	}

	return store.Result{}, injected(op, p.fault)
}

func slowly(ctx context.Context, op Op, arrive deliver, p plan) (store.Result, error) {
	if !sleep(ctx, p.there) {
		return store.Result{}, fmt.Errorf("%w: %w", injected(op, FaultSlow), context.Cause(ctx))
	}

	res, err := arrive(ctx)

	if !sleep(ctx, p.back) {
		return store.Result{}, fmt.Errorf("%w: %w", injected(op, FaultSlow), context.Cause(ctx))
	}

	return res, err
}

// sleep waits, and reports whether it has: not if ctx has ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

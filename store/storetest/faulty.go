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

// Faulty is an unreliable line to a store. It is for tests of a store under an engine, and of a service over its store:
//
//	line := storetest.NewFaulty(memstore.New(), seed, storetest.Faults{LostReply: 0.1, Late: 0.1, LateBy: time.Second})
//	defer line.Close()
//
//	engine, err := onlyonce.New(line.Store())
//
// A test can also choose the fault of the next operation:
//
//	line.Next(storetest.OpComplete, storetest.FaultLostReply)
//
// The fault of an operation depends only on the seed, its kind, its key, and the number of earlier operations of this kind with this key.
// So it does not depend on the interleaving of operations on different keys.
//
// For several processes on one store, make several lines to it.
//
// Faulty waits on timers only, so it works with the fake time of testing/synctest. It starts goroutines only for late arrivals, and
// [Faulty.Close] ends them. It is safe for concurrent use.
type Faulty struct {
	store store.Store
	seed  uint64

	mu      sync.Mutex
	faults  [opCount]Faults
	next    [opCount][]Fault
	visits  map[visit]uint64
	counts  [opCount][faultCount]int
	late    map[*arrival]struct{} // on their way
	arrived map[*arrival]struct{} // the store is deciding
	closed  bool
}

// visit identifies operations that are counted together.
type visit struct {
	op  Op
	key store.Key
}

// NewFaulty returns a line to s. It panics unless each probability is from 0 to 1 and their sum at most 1.
func NewFaulty(s store.Store, seed uint64, faults Faults) *Faulty {
	f := &Faulty{
		store: s, seed: seed,
		visits: make(map[visit]uint64), late: make(map[*arrival]struct{}), arrived: make(map[*arrival]struct{}),
	}
	f.Set(faults)

	return f
}

// Set changes the faults of the given operations, or of all operations if there are none. Faults{} repairs the line, and
// Faults{LostRequest: 1} cuts it. Set panics as NewFaulty does.
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

// Next sets the faults of the next operations of a kind, one each, whatever the probabilities are. Delays are drawn as usual.
func (f *Faulty) Next(op Op, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.next[op] = append(f.next[op], faults...)
}

// Count returns how many of the given operations met a fault, or of all operations if none are given. FaultNone counts operations that
// passed.
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

// plan is what happens to one operation.
type plan struct {
	fault Fault
	// there and back are the delays of a slow operation.
	there, back time.Duration
	// late has the delay of each copy of a late operation.
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

// random returns the source of all decisions about the n-th visit.
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

// pass passes an operation to the store and returns its answer, with the faults of its plan.
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

// sleep waits for d. It returns false if ctx ends before.
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

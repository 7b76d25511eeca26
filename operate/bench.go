package operate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// BenchMethod is the method of the records of a Bench.
const BenchMethod = "onlyonce.bench"

// The defaults of a Bench.
const (
	// DefaultBenchDuration is how long a Bench measures.
	DefaultBenchDuration = time.Minute
	// DefaultBenchCallers is how many callers a Bench has.
	DefaultBenchCallers = 16
	// benchRetention is how long records of a bench stay if they cannot be removed.
	benchRetention = 10 * time.Minute
	// benchLease is their lease.
	benchLease = 15 * time.Second
	// progressEvery is the time between two reports of progress.
	progressEvery = 200 * time.Millisecond
	// mostDurations bounds how many durations of each kind a caller keeps. Later ones replace earlier ones at random.
	mostDurations = 100_000
	// removalTime bounds the removal of records after the measurement.
	removalTime = 2 * time.Minute
)

// BenchOptions change what a Bench does. Fields that are zero have the defaults that they name.
type BenchOptions struct {
	// Duration is how long calls are made. The default is DefaultBenchDuration.
	Duration time.Duration
	// Callers is how many goroutines make calls, one after the other. The default is DefaultBenchCallers.
	Callers int
	// Outcome is the length of the answer of each call, in bytes.
	Outcome int
	// Progress is called a few times each second, by one goroutine. Nil is nobody.
	Progress func(Progress)
}

// Progress is how far a Bench has come.
type Progress struct {
	// Done and Duration are the time that has passed, and that it takes.
	Done, Duration time.Duration
	// Calls and Errors are how many calls were completed, and how many have failed.
	Calls, Errors int64
	// Removing means that the measurement is over, and that the records are removed.
	Removing bool
}

// Result is what a Bench has measured.
type Result struct {
	// Duration is how long calls were made, and Callers how many made them.
	Duration time.Duration
	Callers  int
	// Calls is how many calls were claimed and completed, and Rate how many that is per second.
	Calls int64
	Rate  float64
	// Claim and Completion are the durations of the operations, Call those of both together.
	Claim, Completion, Call Percentiles
	// Errors is how many calls have failed, and FirstError why the first of them has.
	Errors     int64
	FirstError error
	// Left is how many records could not be removed. They expire after 10 minutes.
	Left int64
}

// Percentiles are durations, of which so many percent are not longer.
type Percentiles struct{ P50, P90, P99, P999, Max time.Duration }

// Bench makes calls for a while: each claims a key of its own and completes it. It then removes its records, which have the method
// BenchMethod. If ctx ends before, the measurement ends with it, and the records are removed all the same.
//
// The error is about the options. Operations that fail are counted in the Result.
func Bench(ctx context.Context, s store.Store, opts BenchOptions) (Result, error) {
	if opts.Duration == 0 {
		opts.Duration = DefaultBenchDuration
	}

	if opts.Callers == 0 {
		opts.Callers = DefaultBenchCallers
	}

	if opts.Duration < 0 || opts.Callers < 0 || opts.Outcome < 0 {
		return Result{}, errors.New("operate: bench: give a duration, callers and an outcome that are not negative")
	}

	b := newBench(s, opts)
	b.measure(ctx)

	result := b.result()
	result.Left = b.remove(context.WithoutCancel(ctx))

	return result, nil
}

// bench is one measurement.
type bench struct {
	store   store.Store
	opts    BenchOptions
	outcome []byte
	began   time.Time
	took    time.Duration
	callers []benchCaller
}

// benchCaller makes calls, one after the other. Its counters are read by the progress.
type benchCaller struct {
	mu     sync.Mutex
	calls  int64
	errors int64
	first  error

	claims, completions, both sample
	made                      []madeRecord
}

// madeRecord is a record to remove.
type madeRecord struct {
	key   store.Key
	token store.Token
	fence uint64
}

func newBench(s store.Store, opts BenchOptions) *bench {
	b := &bench{store: s, opts: opts, outcome: make([]byte, opts.Outcome), callers: make([]benchCaller, opts.Callers)}
	_, _ = rand.Read(b.outcome) // it never fails

	return b
}

func (b *bench) measure(ctx context.Context) {
	b.began = time.Now()
	until := b.began.Add(b.opts.Duration)

	var callers sync.WaitGroup

	// The last operations come to their end: the measurement cuts none short.
	for i := range b.callers {
		callers.Go(func() {
			for ctx.Err() == nil && time.Now().Before(until) {
				b.callers[i].call(ctx, b.store, b.outcome)
			}
		})
	}

	b.report(ctx)
	callers.Wait()

	b.took = time.Since(b.began)
}

// report reports progress until the measurement is over.
func (b *bench) report(ctx context.Context) {
	if b.opts.Progress == nil {
		return
	}

	ctx, cancel := context.WithDeadline(ctx, b.began.Add(b.opts.Duration))
	defer cancel()

	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			b.opts.Progress(b.progress(false))
		}
	}
}

func (b *bench) progress(removing bool) Progress {
	p := Progress{Done: min(time.Since(b.began), b.opts.Duration), Duration: b.opts.Duration, Removing: removing}

	for i := range b.callers {
		c := &b.callers[i]

		c.mu.Lock()
		p.Calls += c.calls
		p.Errors += c.errors
		c.mu.Unlock()
	}

	return p
}

// call claims a key and completes it. A call that the end of ctx has cut short does not count.
func (c *benchCaller) call(ctx context.Context, s store.Store, outcome []byte) {
	op := store.Claim{
		Lease: benchLease, MaxRun: benchLease, Retention: benchRetention, Method: BenchMethod, Guarantee: store.AtMostOnce,
	}
	_, _ = rand.Read(op.Key[:])   // it never fails
	_, _ = rand.Read(op.Token[:]) // it never fails

	began := time.Now()
	res, err := s.Claim(ctx, op)
	claimed := time.Now()

	if err == nil && !res.Applied {
		err = errNotApplied
	}

	made := madeRecord{op.Key, op.Token, res.Record.Fence}

	if err != nil {
		c.failed(ctx, made, fmt.Errorf("claim: %w", err))

		return
	}

	res, err = s.Complete(ctx, store.Completion{Key: op.Key, Token: op.Token, Outcome: outcome, Receipt: res.Receipt})
	if err == nil && !res.Applied {
		err = errNotApplied
	}

	if err != nil {
		c.failed(ctx, made, fmt.Errorf("completion: %w", err))

		return
	}

	ended := time.Now()

	c.mu.Lock()
	defer c.mu.Unlock()

	c.calls++
	c.claims.add(claimed.Sub(began))
	c.completions.add(ended.Sub(claimed))
	c.both.add(ended.Sub(began))
	c.made = append(c.made, made)
}

func (c *benchCaller) failed(ctx context.Context, made madeRecord, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.made = append(c.made, made) // it may be there

	// A store may see the deadline before ctx does.
	deadline, has := ctx.Deadline()
	if ctx.Err() != nil || has && !time.Now().Before(deadline) {
		return
	}

	c.errors++
	if c.first == nil {
		c.first = err
	}
}

func (b *bench) result() Result {
	r := Result{Duration: b.took, Callers: b.opts.Callers}

	var claims, completions, both []time.Duration

	for i := range b.callers {
		c := &b.callers[i]
		r.Calls += c.calls
		r.Errors += c.errors

		if r.FirstError == nil {
			r.FirstError = c.first
		}

		claims = append(claims, c.claims.kept...)
		completions = append(completions, c.completions.kept...)
		both = append(both, c.both.kept...)
	}

	if b.took > 0 {
		r.Rate = float64(r.Calls) / b.took.Seconds()
	}

	r.Claim, r.Completion, r.Call = percentiles(claims), percentiles(completions), percentiles(both)

	return r
}

// remove removes the records, and returns how many are left.
func (b *bench) remove(ctx context.Context) (left int64) {
	ctx, cancel := context.WithTimeout(ctx, removalTime)
	defer cancel()

	forgetter := b.store.Capabilities().Forgetter
	counts := make([]int64, len(b.callers))

	var removers sync.WaitGroup

	for i := range b.callers {
		removers.Go(func() {
			for _, made := range b.callers[i].made {
				if forgetter == nil || !removed(ctx, forgetter, made) {
					counts[i]++
				}
			}
		})
	}

	if b.opts.Progress != nil {
		b.opts.Progress(b.progress(true))
	}

	removers.Wait()

	for _, count := range counts {
		left += count
	}

	return left
}

// removed removes a record of a bench. A claim that has failed may have left a record with another fence, or none.
func removed(ctx context.Context, f store.Forgetter, made madeRecord) bool {
	if ctx.Err() != nil {
		return false
	}

	const first = 1

	fence := made.fence
	if fence == 0 {
		fence = first
	}

	res, err := f.Forget(ctx, store.Forgetting{Key: made.key, Token: made.token, Fence: fence, Force: true})

	return err == nil && res.Record.State == store.Absent
}

// sample keeps durations: all of them up to a bound, and a fair choice of them beyond it.
type sample struct {
	kept  []time.Duration
	seen  uint64
	state uint64
}

func (s *sample) add(d time.Duration) {
	s.seen++

	if len(s.kept) < mostDurations {
		s.kept = append(s.kept, d)

		return
	}

	// A generator of numbers that is good enough for a choice: splitmix64.
	s.state += 0x9e3779b97f4a7c15
	z := (s.state ^ s.state>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb

	if at := (z ^ z>>31) % s.seen; at < mostDurations {
		s.kept[at] = d
	}
}

// percentiles sorts the durations.
func percentiles(all []time.Duration) Percentiles {
	if len(all) == 0 {
		return Percentiles{}
	}

	slices.Sort(all)

	at := func(share float64) time.Duration { return all[min(int(share*float64(len(all))), len(all)-1)] }

	const p50, p90, p99, p999 = 0.5, 0.9, 0.99, 0.999

	return Percentiles{P50: at(p50), P90: at(p90), P99: at(p99), P999: at(p999), Max: all[len(all)-1]}
}

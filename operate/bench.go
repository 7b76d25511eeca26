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

// BenchMethod is the method name in the records that Bench writes.
const BenchMethod = "onlyonce.bench"

// The defaults of a Bench.
const (
	// DefaultBenchDuration is the default of BenchOptions.Duration: 1 minute.
	DefaultBenchDuration = time.Minute
	// DefaultBenchCallers is the default of BenchOptions.Callers: 16.
	DefaultBenchCallers = 16
	// benchRetention is how long a record stays if Bench cannot remove it.
	benchRetention = 10 * time.Minute
	// benchLease is the lease of each record.
	benchLease = 15 * time.Second
	// progressEvery is the interval of the progress reports.
	progressEvery = 200 * time.Millisecond
	// mostDurations bounds the durations of each kind that a caller keeps. Beyond it, a new duration replaces a random old one.
	mostDurations = 100_000
	// removalTime bounds the removal of records after the measurement.
	removalTime = 2 * time.Minute
)

// BenchOptions configures Bench. The zero value uses the defaults.
type BenchOptions struct {
	// Duration is how long Bench makes calls. Zero means DefaultBenchDuration.
	Duration time.Duration
	// Callers is the number of goroutines that make calls, each one call at a time. Zero means DefaultBenchCallers.
	Callers int
	// Outcome is the size of each recorded outcome, in bytes. Zero means an empty outcome.
	Outcome int
	// Progress receives progress reports, 5 per second, one at a time. Nil means no reports.
	Progress func(Progress)
}

// Progress is the progress of a running Bench.
type Progress struct {
	// Done is the time since the start. Duration is the planned time.
	Done, Duration time.Duration
	// Calls counts completed calls. Errors counts failed calls.
	Calls, Errors int64
	// Removing reports that the measurement has ended and Bench removes its records.
	Removing bool
}

// Result is the measurement of a Bench.
type Result struct {
	// Duration is how long the calls were made. Callers is how many goroutines made them.
	Duration time.Duration
	Callers  int
	// Calls counts the calls that were claimed and completed. Rate is the number of calls per second.
	Calls int64
	Rate  float64
	// Claim and Completion are the durations of the two operations. Call is the duration of both together.
	Claim, Completion, Call Percentiles
	// Errors counts failed calls. FirstError is the error of a failed call, or nil.
	Errors     int64
	FirstError error
	// Left counts records that Bench could not remove. They expire after 10 minutes.
	Left int64
}

// Percentiles of measured durations. P99 means: 99 % of the durations are at most this long.
type Percentiles struct{ P50, P90, P99, P999, Max time.Duration }

// Bench measures a store. Each call claims a new random key and completes it. Then Bench removes its records, whose method is BenchMethod.
// When ctx ends, Bench stops early and still removes its records.
//
// The error reports invalid options. Failed operations are counted in the Result.
func Bench(ctx context.Context, s store.Store, opts BenchOptions) (Result, error) {
	if opts.Duration == 0 {
		opts.Duration = DefaultBenchDuration
	}

	if opts.Callers == 0 {
		opts.Callers = DefaultBenchCallers
	}

	if opts.Duration < 0 || opts.Callers < 0 || opts.Outcome < 0 {
		return Result{}, errors.New("operate: bench: Duration, Callers and Outcome must not be negative")
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

// benchCaller makes calls, one at a time. The mutex protects its counters, which the progress reports read.
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

	// Operations in flight at the end are not cancelled.
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

// report sends progress reports until the measurement ends.
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

// call claims a key and completes it. It ignores errors caused by the end of ctx.
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

	c.made = append(c.made, made) // the store may have written it

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

// remove removes the records and returns how many remain.
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

// removed removes one record and reports whether it is gone. A failed claim may have left a record with an unknown fence, or no record.
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

// sample keeps all durations up to a bound, and a random sample beyond it.
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

	// splitmix64: good enough to choose a sample.
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

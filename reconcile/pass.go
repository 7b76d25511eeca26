package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/housekeeping"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// mostFound bounds the records of one pass. Beyond it, a pass takes a random sample.
	mostFound = 100_000
	// mostRemembered bounds the records that a process remembers. It recovers further records in every pass, without EventAttention.
	mostRemembered = 100_000
	// mostOwn bounds the internal records that a pass recovers.
	mostOwn = 1_000
)

type key = store.Key

// reconciler is the state of Run. The mutex guards methods, memory and tally against the workers of a pass.
type reconciler struct {
	engine *onlyonce.Engine
	opts   Options

	mu      sync.Mutex
	passes  int
	methods map[string]*backoff
	memory  map[key]*remembered
	slot    time.Time // earliest start of the next recovery
	tally   tally
}

// found is a record to recover. It leaves out the record itself, which may be large and is read again.
type found struct {
	id     key
	method string
	age    time.Duration
	fails  int // consecutive failed recoveries
}

// pass recovers the records whose outcome is unknown.
func (r *reconciler) pass(ctx context.Context) Report {
	began := time.Now()
	r.passes++
	r.tally = tally{methods: make(map[string]*MethodReport)}

	records, unreadable, err := r.list(ctx)
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] }) //nolint:gosec // not a secret

	slices.SortStableFunc(records, fewestFailures)

	r.work(ctx, records)

	_, shadow := SettleShadow(ctx, r.engine)

	r.forget(err == nil)

	for method, b := range r.methods {
		if r.tally.methods[method] != nil && time.Now().Before(b.until) {
			r.tally.methods[method].BackoffUntil = b.until
		}
	}

	if unreadable > 0 {
		err = errors.Join(err, fmt.Errorf("%d records cannot be read", unreadable))
	}

	return r.tally.report(began, errors.Join(err, shadow))
}

// list returns the records that are due, or a random sample of them, and counts the others. With an error, the list is incomplete.
func (r *reconciler) list(ctx context.Context) (due []found, unreadable int, err error) {
	var own []onlyonce.Record

	defer func() {
		for i := range own { // left by processes that died during a recovery
			if _, err := r.engine.Recover(ctx, own[i]); err != nil {
				return // the next pass retries
			}
		}
	}()

	seen := 0

	for rec, err := range r.engine.ListUnknown(housekeeping.With(ctx)) {
		switch {
		case errors.Is(err, store.ErrUnreadable), errors.Is(err, store.ErrNewer):
			unreadable++

			r.tally.count(rec.Method, resultStill, 0)

			continue
		case err != nil:
			return due, unreadable, fmt.Errorf("listing unknown records: %w", err)
		case housekeeping.Own(rec.Method):
			own = append(own[:min(len(own), mostOwn)], rec)

			continue
		}

		one := found{id: rec.ID, method: rec.Method, age: rec.LookedUpAt.Sub(unknownSince(&rec))}

		if known := r.memory[rec.ID]; known != nil {
			one.fails = known.fails
		}

		if !r.due(ctx, &rec, one.age) {
			r.tally.count(one.method, resultStill, one.age)

			continue
		}

		seen++

		if len(due) < mostFound {
			due = append(due, one)

			continue
		}

		if at := rand.N(seen); at < len(due) { //nolint:gosec // not a secret
			one, due[at] = due[at], one
		}

		r.tally.count(one.method, resultStill, one.age)
	}

	return due, unreadable, nil
}

// due reports whether to recover a record now. It sends EventAttention for a record that has been unknown for too long.
func (r *reconciler) due(ctx context.Context, rec *onlyonce.Record, age time.Duration) bool {
	known := r.memory[rec.ID]

	if known == nil {
		if age < r.opts.AttentionAfter || len(r.memory) >= mostRemembered {
			return true
		}

		known = new(remembered)
		r.memory[rec.ID] = known
	}

	known.seen = r.passes

	if age >= r.opts.AttentionAfter && !known.told {
		known.told = true

		r.engine.Attention(ctx, *rec, unknownSince(rec))
	}

	return !time.Now().Before(known.next)
}

// forget drops the state of records that are no longer unknown. It keeps all after an incomplete list.
func (r *reconciler) forget(complete bool) {
	if !complete {
		return
	}

	for id, known := range r.memory {
		if known.seen != r.passes {
			delete(r.memory, id)
		}
	}
}

// work recovers records concurrently. It starts them in their order, so the first record of a method starts before another one can fail and
// delay the method.
func (r *reconciler) work(ctx context.Context, records []found) {
	running := make(chan struct{}, r.opts.Concurrency)

	var workers sync.WaitGroup

	for _, one := range records {
		running <- struct{}{}

		if what, skip := r.skips(one.method); skip || !r.wait(ctx) {
			r.note(one, what, 0)
			<-running

			continue
		}

		workers.Go(func() {
			r.recover(ctx, one)
			<-running
		})
	}

	workers.Wait()
}

// recover recovers one record.
func (r *reconciler) recover(ctx context.Context, one found) {
	rec, err := r.engine.LookupID(ctx, one.id)

	switch {
	case ctx.Err() != nil:
		r.note(one, resultStopped, 0)
	case err != nil:
		r.note(one, resultFailed, 0)
	case !rec.Unknown:
		r.note(one, resultGone, 0)
	default:
		finding, err := r.engine.Recover(ctx, rec)
		r.note(one, resultOf(finding, err, ctx.Err() != nil), rec.OwnerAliveUntil.Sub(rec.LookedUpAt))
	}
}

// skips reports whether the method is delayed, or has no recovery function as far as this pass knows.
func (r *reconciler) skips(method string) (result, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.tally.of(method).NoRecovery {
		return resultNoRecovery, true
	}

	b := r.methods[method]

	return resultStopped, b != nil && time.Now().Before(b.until)
}

// wait keeps to the rate. It returns false when ctx has ended.
func (r *reconciler) wait(ctx context.Context) bool {
	now := time.Now()
	at := now

	if r.slot.After(now) {
		at = r.slot
	}

	r.slot = at.Add(spacing(r.opts.Rate))

	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()

	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// note counts a record and saves its state for the next pass.
func (r *reconciler) note(one found, what result, ownerAlive time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.tally.count(one.method, what, one.age)

	now := time.Now()

	b := r.methods[one.method]
	if b == nil {
		b = new(backoff)
	}

	if *b = b.after(what, now, r.opts.Interval); *b == (backoff{}) {
		delete(r.methods, one.method)
	} else {
		r.methods[one.method] = b
	}

	known := r.memory[one.id]
	if known == nil {
		known = new(remembered)
	}

	*known = known.after(what, now, r.opts.Interval, ownerAlive)
	if known.next.IsZero() && known.fails == 0 && !known.told || len(r.memory) >= mostRemembered {
		return
	}

	known.seen = r.passes
	r.memory[one.id] = known
}

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/housekeeping"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const (
	method = "/bank.Payments/Pay"
	other  = "/bank.Payments/Refund"
)

var errProvider = errors.New("the provider does not answer")

// provider is the external system in which the effects happen. It counts the queries for each record.
type provider struct {
	mu     sync.Mutex
	asked  map[store.Key]int
	answer func(rec onlyonce.Record) (onlyonce.Finding, error)
}

func (p *provider) find(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.asked == nil {
		p.asked = make(map[store.Key]int)
	}

	p.asked[rec.ID]++

	if p.answer == nil {
		return onlyonce.Happened("OK", []byte("receipt")), ctx.Err()
	}

	return p.answer(rec)
}

// total returns the number of all queries, and the greatest number for one record.
func (p *provider) total() (total, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, n := range p.asked {
		total += n
		most = max(most, n)
	}

	return total, most
}

// newEngine returns an engine whose recovery function queries a provider.
func newEngine(t *testing.T, records store.Store, ask *provider, opts ...onlyonce.Option) *onlyonce.Engine {
	t.Helper()

	engine, err := onlyonce.New(records, opts...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}

	engine.AddRecoveries(func(name string) onlyonce.RecoverFunc {
		if name != method || ask == nil {
			return nil
		}

		return ask.find
	})

	return engine
}

// hold makes n records with an unknown outcome.
func hold(t *testing.T, engine *onlyonce.Engine, name string, n int) {
	t.Helper()

	for i := range n {
		call := onlyonce.Call{Method: name, Key: fmt.Sprintf("key-%d", i), Request: []byte("10 EUR")}

		_, _ = engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, errProvider })
	}
}

// running is a running reconciler.
type running struct {
	mu      sync.Mutex
	reports []reconcile.Report
	stop    context.CancelFunc
	ended   chan error
}

func run(t *testing.T, engine *onlyonce.Engine, opts reconcile.Options) *running {
	t.Helper()

	ctx, stop := context.WithCancel(t.Context())
	r := &running{stop: stop, ended: make(chan error, 1)}
	opts.Report = func(report reconcile.Report) {
		r.mu.Lock()
		defer r.mu.Unlock()

		r.reports = append(r.reports, report)
	}

	go func() { r.ended <- reconcile.Run(ctx, engine, opts) }()

	return r
}

func (r *running) end(t *testing.T) []reconcile.Report {
	t.Helper()

	r.stop()

	if err := <-r.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the cause of the context", err)
	}

	return r.reports
}

func sum(reports []reconcile.Report) (settled, failed int) {
	for i := range reports {
		settled += reports[i].Settled
		failed += reports[i].Failed
	}

	return settled, failed
}

func unknown(t *testing.T, engine *onlyonce.Engine) int {
	t.Helper()

	n := 0

	for _, err := range engine.ListUnknown(t.Context()) {
		if err != nil {
			t.Fatalf("ListUnknown: %v", err)
		}

		n++
	}

	return n
}

func TestF49TwoReconcilersSettleEveryRecordAndRecoverEachOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 200

		records, bank := memstore.New(), &provider{}
		first, second := newEngine(t, records, bank), newEngine(t, records, bank)

		hold(t, first, method, n)

		one, two := run(t, first, reconcile.Options{}), run(t, second, reconcile.Options{})

		time.Sleep(time.Minute)

		reports := append(one.end(t), two.end(t)...)

		if left := unknown(t, first); left != 0 {
			t.Errorf("%d records are still unknown", left)
		}

		if settled, failed := sum(reports); settled != n || failed != 0 {
			t.Errorf("%d records were settled and %d failed, want %d and none", settled, failed, n)
		}

		if total, most := bank.total(); total != n || most != 1 {
			t.Errorf("the provider was asked %d times, %d times about one record; want %d and 1", total, most, n)
		}

		rec, err := first.Lookup(t.Context(), onlyonce.Identity{Method: method, Key: "key-7"})
		if err != nil || rec.SettledBy != "recovery function" || string(rec.Body) != "receipt" {
			t.Errorf("Lookup = %+v, %v", rec, err)
		}
	})
}

func TestF03RecordOfADeadOwnerIsSettledWithoutADuplicate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := memstore.New()
		bank := &provider{answer: func(onlyonce.Record) (onlyonce.Finding, error) { return onlyonce.DidNotHappen(), nil }}
		engine := newEngine(t, records, bank)

		// The record of a run whose process has died.
		claim := store.Claim{
			Key: store.Key{1}, Token: store.Token{1}, Guarantee: store.AtMostOnce, Lease: 15 * time.Second, MaxRun: 25 * time.Second,
			Retention: time.Hour, Method: method,
		}
		if res, err := records.Claim(t.Context(), claim); err != nil || !res.Applied {
			t.Fatalf("Claim = %+v, %v", res, err)
		}

		r := run(t, engine, reconcile.Options{Interval: time.Second})

		time.Sleep(30 * time.Second) // the owner may still be alive

		if rec, err := engine.LookupID(t.Context(), claim.Key); err != nil || rec.State != store.Running {
			t.Errorf("before the owner is surely dead the record is %v, %v", rec.State, err)
		}

		time.Sleep(15 * time.Second)

		if rec, err := engine.LookupID(t.Context(), claim.Key); err != nil || rec.State != store.Released {
			t.Errorf("the record is %v, %v; want RELEASED", rec.State, err)
		}

		_ = r.end(t)

		if total, _ := bank.total(); total != 2 {
			t.Errorf("the provider was asked %d times, want once while the owner might be alive, and once after it", total)
		}
	})
}

func TestF49RightOfADeadProcessToRecoverIsTakenAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := memstore.New()
		engine := newEngine(t, records, &provider{})

		// This record belongs to a process that died during the recovery of another record. That other record has been
		// settled since.
		claim := store.Claim{
			Key: store.Key{1}, Token: store.Token{1}, Guarantee: store.AtLeastOnce, Lease: 9 * time.Second, MaxRun: 9 * time.Second,
			Retention: time.Minute, Method: housekeeping.RecoverMethod,
		}
		if res, err := records.Claim(t.Context(), claim); err != nil || !res.Applied {
			t.Fatalf("Claim = %+v, %v", res, err)
		}

		r := run(t, engine, reconcile.Options{})

		time.Sleep(9 * time.Second)

		if rec, err := engine.LookupID(t.Context(), claim.Key); err != nil || rec.State != store.Running {
			t.Errorf("before its owner is surely dead the record is %v, %v", rec.State, err)
		}

		time.Sleep(time.Hour)

		if rec, err := engine.LookupID(t.Context(), claim.Key); err != nil || rec.State != store.Absent {
			t.Errorf("the record is %v, %v; want ABSENT", rec.State, err)
		}

		for _, report := range r.end(t) {
			if report.Unknown != 0 || report.Settled != 0 || report.Err != nil {
				t.Errorf("the kit's own record is in the report %+v", report)
			}
		}
	})
}

func TestMethodWhoseFunctionFailsWaitsLongerAndLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool

		down.Store(true)

		bank := &provider{answer: func(onlyonce.Record) (onlyonce.Finding, error) {
			if down.Load() {
				return onlyonce.Finding{}, errProvider
			}

			return onlyonce.Happened("OK", nil), nil
		}}
		engine := newEngine(t, memstore.New(), bank, onlyonce.WithObserver(nil))

		hold(t, engine, method, 50)

		r := run(t, engine, reconcile.Options{Concurrency: 1})

		time.Sleep(2 * time.Hour)

		total, _ := bank.total()
		if total < 10 || total > 60 {
			t.Errorf("in two hours a provider that is down was asked %d times", total)
		}

		down.Store(false)
		time.Sleep(20 * time.Minute)

		if left := unknown(t, engine); left != 0 {
			t.Errorf("%d records are still unknown when the provider is back", left)
		}

		reports := r.end(t)

		if last := reports[len(reports)-1]; last.Unknown != 0 || last.Oldest != 0 {
			t.Errorf("the last report is %+v", last)
		}

		if first := reports[0]; first.Unknown != 50 || first.Failed != 3 || len(first.Methods) != 1 || first.Methods[0].BackoffUntil.IsZero() {
			t.Errorf("the first report is %+v, want 50 unknown records, 3 failures and a method that waits", first)
		}
	})
}

func TestF03RecordsBeyondRecoveryDoNotHoldUpTheOthersOfTheirMethod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var healthy atomic.Bool

		bank := &provider{answer: func(rec onlyonce.Record) (onlyonce.Finding, error) {
			if rec.ReadableKey == "healthy" {
				return onlyonce.Happened("OK", nil), nil
			}

			return onlyonce.Finding{}, errProvider
		}}
		engine := newEngine(t, memstore.New(), bank, onlyonce.WithObserver(onlyonce.ObserverFunc(func(_ context.Context, e onlyonce.Event) {
			if e.Kind == onlyonce.EventResolved {
				healthy.Store(true)
			}
		})))

		hold(t, engine, method, 40)

		r := run(t, engine, reconcile.Options{})

		// The delay of the method is at most 15 minutes. After each delay, a record with the fewest failures is tried, so all have failed once.
		time.Sleep(20 * time.Hour)

		call := onlyonce.Call{Method: method, Key: "healthy", Request: []byte("10 EUR")}

		_, _ = engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, errProvider })

		time.Sleep(20 * time.Minute) // the longest delay of a method, plus one pass

		if !healthy.Load() {
			t.Error("a record that can be settled is not, because the others of its method cannot")
		}

		_ = r.end(t)
	})
}

func TestF04RecordThatNobodyCanSettleGetsOneAttentionEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int64

		observer := onlyonce.ObserverFunc(func(_ context.Context, event onlyonce.Event) {
			if event.Kind == onlyonce.EventAttention {
				told.Add(1)

				if event.Method == "" || event.Err == nil || !strings.Contains(event.Err.Error(), "2000-01-01T00:00:00Z") {
					t.Errorf("the event is %+v", event)
				}
			}
		})
		bank := &provider{answer: func(onlyonce.Record) (onlyonce.Finding, error) { return onlyonce.StillUnknown(), nil }}
		engine := newEngine(t, memstore.New(), bank, onlyonce.WithObserver(observer))

		hold(t, engine, method, 3)
		hold(t, engine, other, 2) // it has no recovery function

		r := run(t, engine, reconcile.Options{})

		time.Sleep(14 * time.Minute)

		if n := told.Load(); n != 0 {
			t.Errorf("%d events before the limit", n)
		}

		time.Sleep(3 * time.Hour)

		if n := told.Load(); n != 5 {
			t.Errorf("%d events for 5 records", n)
		}

		reports := r.end(t)

		last := reports[len(reports)-1]
		if last.Unknown != 5 || last.NoRecovery != 2 || last.Oldest < 3*time.Hour || last.Err != nil {
			t.Errorf("the last report is %+v", last)
		}

		if _, most := bank.total(); most < 30 || most > 80 {
			t.Errorf("in more than three hours a record was asked about %d times, want every 5 minutes in the end", most)
		}
	})
}

func TestRateBoundsHowManyRecoveriesStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bank := &provider{}
		engine := newEngine(t, memstore.New(), bank)

		hold(t, engine, method, 100)

		r := run(t, engine, reconcile.Options{Rate: 2})

		time.Sleep(20 * time.Second)

		if total, _ := bank.total(); total < 39 || total > 41 {
			t.Errorf("in 20 seconds 2 a second are %d", total)
		}

		_ = r.end(t)
	})
}

func TestF17DuplicateGetsWhatAReconcilerFinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New(), &provider{})

		hold(t, engine, method, 1)

		r := run(t, engine, reconcile.Options{})

		synctest.Wait()
		time.Sleep(time.Millisecond)

		call := onlyonce.Call{Method: method, Key: "key-0", Request: []byte("10 EUR")}

		got, err := engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return []byte("again"), nil })
		if err != nil || got.Status != onlyonce.StatusReplayed || string(got.Body) != "receipt" {
			t.Errorf("Do = %+v, %v", got, err)
		}

		_ = r.end(t)
	})
}

type cannotList struct{ store.Store }

func (cannotList) Capabilities() store.Capabilities {
	can := memstore.New().Capabilities()
	can.Lister, can.Direct = nil, nil

	return can
}

func TestRunRefusesWhatCanNeverWork(t *testing.T) {
	t.Parallel()

	engine := newEngine(t, memstore.New(), nil)
	blind := newEngine(t, cannotList{memstore.New()}, nil)

	if err := reconcile.Run(t.Context(), nil, reconcile.Options{}); err == nil {
		t.Error("a nil engine is accepted")
	}

	if err := reconcile.Run(t.Context(), blind, reconcile.Options{}); !errors.Is(err, onlyonce.ErrNotSupported) {
		t.Errorf("on a store that cannot list: %v", err)
	}

	for name, opts := range map[string]reconcile.Options{
		"Interval": {Interval: -1}, "Concurrency": {Concurrency: -1}, "Rate": {Rate: math.NaN()}, "AttentionAfter": {AttentionAfter: -1},
	} {
		if err := reconcile.Run(t.Context(), engine, opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

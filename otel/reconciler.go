package onceotel

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/onlyonce-go/onlyonce/reconcile"
)

// The values of onlyonce.result.
const (
	resultOK      = "ok"
	resultSettled = "settled"
	resultFailed  = "failed"
)

const (
	// freshAtLeast is the minimum time for which a report counts. freshGaps is the number of intervals for which it counts.
	freshAtLeast = 10 * time.Minute
	freshGaps    = 3
)

// reconcilerMetrics are the metrics of reconcilers.
type reconcilerMetrics struct {
	unknown, unrecoverable metric.Int64ObservableGauge
	age                    metric.Float64ObservableGauge
	passes, records        metric.Int64Counter

	methods bounded[string, string]

	mu   sync.Mutex
	last map[string]lastPass // by engine name
}

// lastPass is the last report of a reconciler.
type lastPass struct {
	at, until     time.Time // when the report came, and until when it counts
	unrecoverable int64
	methods       map[string]methodUnknown // by the name in metrics
}

// methodUnknown are the unknown records of a method, or of all methods that share a name.
type methodUnknown struct {
	records int64
	age     float64
}

func (m *reconcilerMetrics) init(from *instruments, known func(string) bool) {
	m.unknown = from.observedInts("onlyonce.records.unknown")
	m.unrecoverable = from.observedInts("onlyonce.records.unrecoverable")
	m.age = from.observedGauge("onlyonce.records.unknown.age")
	m.passes = from.counter("onlyonce.reconciler.passes")
	m.records = from.counter("onlyonce.reconciler.records")
	m.methods = bounded[string, string]{most: maxMethods, known: known, make: methodName}
	m.last = map[string]lastPass{}

	_, err := from.meter.RegisterCallback(m.read, m.unknown, m.unrecoverable, m.age)
	from.add(err)
}

// Report makes metrics of a reconciler's report. Use it as reconcile.Options.Report. A program with several reconcilers uses ReportOf.
//
// If several processes reconcile one store, each reports all its unknown records. Take the maximum of their numbers, not the sum.
//
// A failed pass has not seen all records, so it never lowers the numbers. The numbers disappear if no report has come for ten minutes, or
// for three times the last interval between reports, whichever is longer.
func (t *Telemetry) Report(report reconcile.Report) { t.reconciler.report("", &report) }

// ReportOf is Report for a program with several reconcilers. The name of the engine becomes the attribute onlyonce.engine.name.
func (t *Telemetry) ReportOf(engine string) func(report reconcile.Report) {
	return func(report reconcile.Report) { t.reconciler.report(engine, &report) }
}

func (m *reconcilerMetrics) report(engine string, report *reconcile.Report) {
	ctx, of := context.Background(), attribute.String(attrEngine, engine)

	m.mu.Lock()
	defer m.mu.Unlock()

	ok, failed := int64(1), int64(0)
	if report.Err != nil {
		ok, failed = 0, 1
	}

	// Both series exist from the first pass on, so that a rate of zero is visible.
	m.passes.Add(ctx, ok, labelsOf(of, attribute.String(attrResult, resultOK)).add...)
	m.passes.Add(ctx, failed, labelsOf(of, attribute.String(attrResult, resultFailed)).add...)

	left := make(map[string]methodUnknown, len(report.Methods))

	for i := range report.Methods {
		about := &report.Methods[i]
		name := m.methods.get(about.Method)
		method := attribute.String(attrMethod, name)
		left[name] = methodUnknown{left[name].records + int64(about.Unknown), max(left[name].age, about.Oldest.Seconds())}

		m.records.Add(ctx, int64(about.Settled), labelsOf(of, method, attribute.String(attrResult, resultSettled)).add...)
		m.records.Add(ctx, int64(about.Failed), labelsOf(of, method, attribute.String(attrResult, resultFailed)).add...)
	}

	m.last[engine] = m.last[engine].next(time.Now(), left, int64(report.NoRecovery), report.Err == nil)
}

// next returns the state after another pass. An incomplete pass lowers no number.
func (l lastPass) next(now time.Time, left map[string]methodUnknown, unrecoverable int64, complete bool) lastPass {
	fresh := freshAtLeast
	if !l.at.IsZero() {
		fresh = max(fresh, freshGaps*now.Sub(l.at))
	}

	for name, before := range l.methods {
		about := left[name] // zero unless the pass found records of the method
		if !complete {
			about = methodUnknown{max(about.records, before.records), max(about.age, before.age)}
		}

		left[name] = about
	}

	if !complete {
		unrecoverable = max(unrecoverable, l.unrecoverable)
	}

	return lastPass{at: now, until: now.Add(fresh), unrecoverable: unrecoverable, methods: left}
}

// read reports the last passes that are still fresh.
func (m *reconcilerMetrics) read(_ context.Context, o metric.Observer) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	for engine, pass := range m.last {
		if time.Now().After(pass.until) {
			continue
		}

		of := attribute.String(attrEngine, engine)
		o.ObserveInt64(m.unrecoverable, pass.unrecoverable, metric.WithAttributeSet(setOf(of)))

		for name, about := range pass.methods {
			attrs := metric.WithAttributeSet(setOf(of, attribute.String(attrMethod, name)))
			o.ObserveInt64(m.unknown, about.records, attrs)
			o.ObserveFloat64(m.age, about.age, attrs)
		}
	}

	return nil
}

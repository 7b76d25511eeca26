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
	// freshAtLeast is how long a look is shown at least, and freshGaps how many times the pause between the last two.
	freshAtLeast = 10 * time.Minute
	freshGaps    = 3
)

// reconcilerMetrics are made from the reports of reconcilers.
type reconcilerMetrics struct {
	unknown, unrecoverable metric.Int64ObservableGauge
	age                    metric.Float64ObservableGauge
	looks, records         metric.Int64Counter

	methods bounded[string, string]

	mu   sync.Mutex
	last map[string]lastLook // by the name of the engine
}

// lastLook is what a reconciler has reported last.
type lastLook struct {
	at, until     time.Time // when it came, and until when it is shown
	unrecoverable int64
	methods       map[string]methodUnknown // by the name in metrics
}

// methodUnknown is what a look has left of a method, or of several that share a name.
type methodUnknown struct {
	records int64
	age     float64
}

func (m *reconcilerMetrics) init(from *instruments, known func(string) bool) {
	m.unknown = from.observedInts("onlyonce.records.unknown")
	m.unrecoverable = from.observedInts("onlyonce.records.unrecoverable")
	m.age = from.observedGauge("onlyonce.records.unknown.age")
	m.looks = from.counter("onlyonce.reconciler.looks")
	m.records = from.counter("onlyonce.reconciler.records")
	m.methods = bounded[string, string]{most: maxMethods, known: known, make: methodName}
	m.last = map[string]lastLook{}

	_, err := from.meter.RegisterCallback(m.read, m.unknown, m.unrecoverable, m.age)
	from.add(err)
}

// Report makes metrics of what the reconciler reports. It is a function for reconcile.Options.Report. If several processes reconcile one
// store, each of them reports all records that are left: take the largest number, not the sum. A program with several reconcilers uses
// ReportOf.
//
// A look that failed has not seen all records, so the numbers do not fall after it. They are gone when no report has come for ten minutes,
// or for three times the pause between the last two: a reconciler that has ended knows nothing of the records any more.
func (t *Telemetry) Report(report reconcile.Report) { t.reconciler.report("", &report) }

// ReportOf is Report for one of several reconcilers in a program, with the name of its engine as the attribute onlyonce.engine.name.
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

	// Both series exist from the first look on, so that a rate can be seen to be zero.
	m.looks.Add(ctx, ok, labelsOf(of, attribute.String(attrResult, resultOK)).add...)
	m.looks.Add(ctx, failed, labelsOf(of, attribute.String(attrResult, resultFailed)).add...)

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

// next is what is known after another look. One that is not complete takes nothing back.
func (l lastLook) next(now time.Time, left map[string]methodUnknown, unrecoverable int64, complete bool) lastLook {
	fresh := freshAtLeast
	if !l.at.IsZero() {
		fresh = max(fresh, freshGaps*now.Sub(l.at))
	}

	for name, before := range l.methods {
		about := left[name] // zero, unless the look has found records of the method
		if !complete {
			about = methodUnknown{max(about.records, before.records), max(about.age, before.age)}
		}

		left[name] = about
	}

	if !complete {
		unrecoverable = max(unrecoverable, l.unrecoverable)
	}

	return lastLook{at: now, until: now.Add(fresh), unrecoverable: unrecoverable, methods: left}
}

// read tells what the last looks have left, as far as they are not too old.
func (m *reconcilerMetrics) read(_ context.Context, o metric.Observer) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	for engine, look := range m.last {
		if time.Now().After(look.until) {
			continue
		}

		of := attribute.String(attrEngine, engine)
		o.ObserveInt64(m.unrecoverable, look.unrecoverable, metric.WithAttributeSet(setOf(of)))

		for name, about := range look.methods {
			attrs := metric.WithAttributeSet(setOf(of, attribute.String(attrMethod, name)))
			o.ObserveInt64(m.unknown, about.records, attrs)
			o.ObserveFloat64(m.age, about.age, attrs)
		}
	}

	return nil
}

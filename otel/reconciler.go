package onceotel

import (
	"context"
	"sync"

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

// reconcilerMetrics are made from the reports of the reconciler.
type reconcilerMetrics struct {
	unknown, unrecoverable metric.Int64Gauge
	age                    metric.Float64Gauge
	looks, records         metric.Int64Counter

	methods bounded[string, string]

	mu   sync.Mutex
	seen map[string]methodUnknown // by the name in metrics
}

// methodUnknown is what a look has left of a method, or of several that share a name.
type methodUnknown struct {
	records         int64
	age             float64
	settled, failed int64
}

func (m *reconcilerMetrics) init(from *instruments, known func(string) bool) {
	m.unknown = from.gauge("onlyonce.records.unknown")
	m.unrecoverable = from.gauge("onlyonce.records.unrecoverable")
	m.age = from.seconds("onlyonce.records.unknown.age")
	m.looks = from.counter("onlyonce.reconciler.looks")
	m.records = from.counter("onlyonce.reconciler.records")
	m.methods = bounded[string, string]{most: maxMethods, known: known, make: methodName}
	m.seen = map[string]methodUnknown{}
}

// Report makes metrics of what the reconciler reports. It is a function for reconcile.Options.Report. If several processes reconcile one
// store, each of them reports all records that are left: take the largest number, not the sum.
func (t *Telemetry) Report(report reconcile.Report) {
	t.reconciler.report(context.Background(), &report)
}

func (m *reconcilerMetrics) report(ctx context.Context, report *reconcile.Report) {
	m.mu.Lock()
	defer m.mu.Unlock()

	result := resultOK
	if report.Err != nil {
		result = resultFailed
	}

	m.looks.Add(ctx, 1, labelsOf(attribute.String(attrResult, result)).add...)
	m.unrecoverable.Record(ctx, int64(report.NoRecovery))

	now := make(map[string]methodUnknown, len(m.seen))
	for name := range m.seen {
		now[name] = methodUnknown{} // unless the report says otherwise
	}

	for i := range report.Methods {
		about := &report.Methods[i]
		name := m.methods.get(about.Method)
		sum := now[name]
		now[name] = methodUnknown{
			records: sum.records + int64(about.Unknown), age: max(sum.age, about.Oldest.Seconds()),
			settled: sum.settled + int64(about.Settled), failed: sum.failed + int64(about.Failed),
		}
	}

	m.seen = now

	for name, about := range now {
		method := attribute.String(attrMethod, name)
		left := labelsOf(method).record

		m.unknown.Record(ctx, about.records, left...)
		m.age.Record(ctx, about.age, left...)
		m.records.Add(ctx, about.settled, labelsOf(method, attribute.String(attrResult, resultSettled)).add...)
		m.records.Add(ctx, about.failed, labelsOf(method, attribute.String(attrResult, resultFailed)).add...)
	}
}

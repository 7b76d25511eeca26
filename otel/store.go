package onceotel

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/onlyonce-go/onlyonce/store"
)

// storeMetrics are the metrics of stores.
type storeMetrics struct {
	operation, batchTime, wait         metric.Float64Histogram
	batchSize                          metric.Int64Histogram
	resends, refusals, sweeps, swept   metric.Int64Counter
	indexWrites, indexRepairs, listens metric.Int64Counter
}

func (m *storeMetrics) init(from *instruments) {
	m.operation = from.histogram("onlyonce.store.operation.duration", shortTimes)
	m.batchTime = from.histogram("onlyonce.store.batch.duration", shortTimes)
	m.wait = from.histogram("onlyonce.store.wait.duration", shortTimes)
	m.batchSize = from.sizes("onlyonce.store.batch.size")
	m.resends = from.counter("onlyonce.store.resends")
	m.refusals = from.counter("onlyonce.store.refusals")
	m.sweeps = from.counter("onlyonce.store.sweeps")
	m.swept = from.counter("onlyonce.store.sweep.records")
	m.indexWrites = from.counter("onlyonce.store.index.writes")
	m.indexRepairs = from.counter("onlyonce.store.index.repairs")
	m.listens = from.counter("onlyonce.store.listens")
}

// storeKind has the values that determine the labels of a store event.
type storeKind struct {
	operation store.Operation
	status    store.Status
}

// storeObserver observes one store.
type storeObserver struct {
	*storeMetrics

	plain labels // only the name of the store
	kinds bounded[storeKind, labels]
	also  []store.Observer
}

// StoreObserver returns an observer for the option WithObserver of a store. It makes metrics of all events and passes the events on to the
// other observers. The name becomes the attribute onlyonce.store.name; give each store of the program its own name.
func (t *Telemetry) StoreObserver(name string, also ...store.Observer) store.Observer {
	named := attribute.String(attrStore, name)

	return &storeObserver{
		storeMetrics: &t.stores,
		plain:        labelsOf(named),
		kinds: bounded[storeKind, labels]{most: 4 * maxKinds, make: func(kind storeKind, known bool) labels {
			if !known {
				kind = storeKind{other, other}
			}

			return labelsOf(named, attribute.String(attrOperation, string(kind.operation)), attribute.String(attrStoreStatus, string(kind.status)))
		}},
		also: slices.DeleteFunc(slices.Clone(also), func(o store.Observer) bool { return o == nil }),
	}
}

// ObserveStore implements [store.Observer].
func (o *storeObserver) ObserveStore(ctx context.Context, event store.Event) {
	o.observe(ctx, &event)

	for _, observer := range o.also {
		observer.ObserveStore(ctx, event)
	}
}

func (o *storeObserver) observe(ctx context.Context, event *store.Event) {
	count := int64(event.Count)
	took := event.Duration.Seconds()

	switch event.Kind {
	case store.EventOperation:
		o.operation.Record(ctx, took, o.kinds.get(storeKind{event.Operation, event.Status}).record...)
	case store.EventResend:
		o.resends.Add(ctx, 1, o.of(event.Operation).add...)
	case store.EventBatch:
		o.batchSize.Record(ctx, count, o.plain.record...)
		o.batchTime.Record(ctx, took, o.plain.record...)
	case store.EventWait:
		o.wait.Record(ctx, took, o.plain.record...)
	case store.EventSweep:
		o.sweeps.Add(ctx, 1, o.ended(event.Status).add...)
		o.swept.Add(ctx, count, o.plain.add...)
	case store.EventRefused:
		o.refusals.Add(ctx, 1, o.of(event.Operation).add...)
	case store.EventRepair:
		o.indexRepairs.Add(ctx, count, o.plain.add...)
	case store.EventIndex:
		o.indexWrites.Add(ctx, count, o.ended(statusOf(event)).add...)
	case store.EventListen:
		o.listens.Add(ctx, 1, o.ended(statusOf(event)).add...)
	default: // an event of a newer version
	}
}

// of returns the labels of an operation.
func (o *storeObserver) of(operation store.Operation) labels {
	return o.kinds.get(storeKind{operation: operation})
}

// ended returns the labels of a status.
func (o *storeObserver) ended(status store.Status) labels {
	return o.kinds.get(storeKind{status: status})
}

// statusOf returns the status of an event. Not every event has a status.
func statusOf(event *store.Event) store.Status {
	if event.Status != "" {
		return event.Status
	}

	return store.StatusOf(true, event.Err)
}

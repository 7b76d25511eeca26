package onceotel

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/onlyonce-go/onlyonce"
)

// statsMetrics are metrics that read the state of engines at collection.
type statsMetrics struct {
	meter    metric.Meter
	held     []heldMetric
	renewals metric.Int64ObservableCounter
	all      []metric.Observable
}

// heldMetric is a field of onlyonce.Stats.
type heldMetric struct {
	instrument metric.Int64ObservableUpDownCounter
	of         func(*onlyonce.Stats) int64
}

func (m *statsMetrics) init(from *instruments) {
	m.meter = from.meter

	for _, held := range []struct {
		name string
		of   func(*onlyonce.Stats) int64
	}{
		{"onlyonce.call.active", func(s *onlyonce.Stats) int64 { return s.Calls }},
		{"onlyonce.waiter.usage", func(s *onlyonce.Stats) int64 { return s.Waiters }},
		{"onlyonce.waiter.limit", func(s *onlyonce.Stats) int64 { return s.MaxWaiters }},
		{"onlyonce.detached_run.usage", func(s *onlyonce.Stats) int64 { return s.Detached }},
		{"onlyonce.detached_run.limit", func(s *onlyonce.Stats) int64 { return s.MaxDetached }},
		{"onlyonce.backlog.write.usage", func(s *onlyonce.Stats) int64 { return s.Pending }},
		{"onlyonce.backlog.write.limit", func(s *onlyonce.Stats) int64 { return s.MaxPending }},
		{"onlyonce.backlog.memory.usage", func(s *onlyonce.Stats) int64 { return s.PendingBytes }},
		{"onlyonce.backlog.memory.limit", func(s *onlyonce.Stats) int64 { return s.MaxPendingBytes }},
	} {
		instrument := from.observed(held.name)
		m.held = append(m.held, heldMetric{instrument, held.of})
		m.all = append(m.all, instrument)
	}

	m.renewals = from.observedCounter("onlyonce.lease.renewals")
	m.all = append(m.all, m.renewals)
}

// WatchEngine reads the onlyonce.Stats of an engine whenever metrics are collected. The name becomes the attribute onlyonce.engine.name;
// give each engine of the program its own name. Unregister the result before you drop the engine. The error is that of the meter provider,
// or reports that the engine is nil.
func (t *Telemetry) WatchEngine(engine *onlyonce.Engine, name string) (metric.Registration, error) {
	if engine == nil {
		return nil, errors.New("onceotel: WatchEngine has no engine: make one with onlyonce.New")
	}

	attrs := metric.WithAttributeSet(attribute.NewSet(attribute.String(attrEngine, name)))

	registration, err := t.stats.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := engine.Stats()

		for _, held := range t.stats.held {
			o.ObserveInt64(held.instrument, held.of(&stats), attrs)
		}

		o.ObserveInt64(t.stats.renewals, stats.Renewals, attrs)

		return nil
	}, t.stats.all...)
	if err != nil {
		return nil, fmt.Errorf("onceotel: watching an engine: %w", err)
	}

	return registration, nil
}

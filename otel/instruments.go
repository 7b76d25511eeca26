package onceotel

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Boundaries of histograms. Views of the meter provider override them.
//
//nolint:gochecknoglobals // nobody changes them
var (
	// For store operations: from a microsecond in memory to seconds.
	shortTimes = []float64{
		0.000001, 0.000002, 0.000005, 0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
		0.1, 0.2, 0.5, 1, 2, 5,
	}
	// For handlers and calls.
	longTimes = []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300}
	counts    = []float64{1, 2, 3, 4, 5, 8, 16, 32, 64, 128, 256}
)

// instruments makes the instruments of the catalogue and collects errors.
type instruments struct {
	meter metric.Meter
	errs  []error
}

// of returns the description of a metric. The kind of instrument must match.
func (i *instruments) of(name, kind string) Metric {
	for _, m := range catalogue {
		if m.Name == name && m.Instrument == kind {
			return m
		}
	}

	i.errs = append(i.errs, fmt.Errorf("onceotel: the catalogue has no %s %s", kind, name))

	return Metric{Name: name}
}

// add adds an error.
func (i *instruments) add(err error) {
	if err != nil {
		i.errs = append(i.errs, fmt.Errorf("onceotel: making an instrument: %w", err))
	}
}

func (i *instruments) err() error { return errors.Join(i.errs...) }

func (i *instruments) counter(name string) metric.Int64Counter {
	m := i.of(name, counter)
	made, err := i.meter.Int64Counter(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description))
	i.add(err)

	return made
}

func (i *instruments) histogram(name string, bounds []float64) metric.Float64Histogram {
	m := i.of(name, histogram)
	made, err := i.meter.Float64Histogram(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description),
		metric.WithExplicitBucketBoundaries(bounds...))
	i.add(err)

	return made
}

func (i *instruments) sizes(name string) metric.Int64Histogram {
	m := i.of(name, histogram)
	made, err := i.meter.Int64Histogram(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description),
		metric.WithExplicitBucketBoundaries(counts...))
	i.add(err)

	return made
}

func (i *instruments) observedInts(name string) metric.Int64ObservableGauge {
	m := i.of(name, gauge)
	made, err := i.meter.Int64ObservableGauge(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description))
	i.add(err)

	return made
}

func (i *instruments) observed(name string) metric.Int64ObservableUpDownCounter {
	m := i.of(name, upDownCounter)
	made, err := i.meter.Int64ObservableUpDownCounter(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description))
	i.add(err)

	return made
}

func (i *instruments) observedCounter(name string) metric.Int64ObservableCounter {
	m := i.of(name, counter)
	made, err := i.meter.Int64ObservableCounter(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description))
	i.add(err)

	return made
}

func (i *instruments) observedGauge(name string) metric.Float64ObservableGauge {
	m := i.of(name, gauge)
	made, err := i.meter.Float64ObservableGauge(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Description))
	i.add(err)

	return made
}

// labels are the attributes of a measurement. They are made once, so that measuring does not allocate.
type labels struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// labelsOf returns labels, without attributes that have no value.
func labelsOf(attrs ...attribute.KeyValue) labels {
	option := metric.WithAttributeSet(setOf(attrs...))

	return labels{add: []metric.AddOption{option}, record: []metric.RecordOption{option}}
}

// setOf returns a set, without attributes that have no value.
func setOf(attrs ...attribute.KeyValue) attribute.Set { return attribute.NewSet(present(attrs)...) }

// present returns the attributes that have a value.
func present(attrs []attribute.KeyValue) (found []attribute.KeyValue) {
	for _, attr := range attrs {
		if attr.Value.Type() != attribute.STRING || attr.Value.AsString() != "" {
			found = append(found, attr)
		}
	}

	return found
}

package onceotel_test

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// seconds returns the sum of a histogram with one series.
func seconds(t *testing.T, w *watch, name string) float64 {
	t.Helper()

	var all metricdata.ResourceMetrics
	if err := w.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}

	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == name && len(data.DataPoints) == 1 {
				return data.DataPoints[0].Sum
			}
		}
	}

	t.Fatalf("%s is no histogram with one series", name)

	return 0
}

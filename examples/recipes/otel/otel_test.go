package otel_test

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	"github.com/onlyonce-go/onlyonce/examples/recipes/otel"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRepeatedCallPaysOnceAndIsCountedAsAReplay(t *testing.T) {
	reader := metric.NewManualReader()

	server, stop, err := otel.NewServer(onceotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}

	payments := new(trial.Payments)
	client := trial.Serve(t, server, payments)

	for range 3 {
		if _, err := client.Pay(t.Context(), &recipesv1.PayRequest{}, interceptor.WithKey("order-7")); err != nil {
			t.Fatal(err)
		}
	}

	if n := payments.Made(); n != 1 {
		t.Errorf("paid %d times", n)
	}

	calls := counts(t, reader, "onlyonce.calls", "onlyonce.status")
	if calls["executed"] != 1 || calls["replayed"] != 2 {
		t.Errorf("counted %v", calls)
	}

	if err := stop(); err != nil {
		t.Error(err)
	}
}

// counts returns the values of a counter by an attribute.
func counts(t *testing.T, reader metric.Reader, name string, by attribute.Key) map[string]int64 {
	t.Helper()

	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}

	found := make(map[string]int64)

	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok || m.Name != name {
				continue
			}

			for _, point := range sum.DataPoints {
				value, _ := point.Attributes.Value(by)
				found[value.AsString()] += point.Value
			}
		}
	}

	return found
}

package onceotel_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/otel/internal/scenario"
)

// emitted returns the metrics of the scenario, with the attributes of all their series.
func emitted(t *testing.T) map[string]map[string]bool {
	t.Helper()

	w := newWatch(t)

	stop, err := scenario.Run(t.Context(), w.Telemetry)
	if err != nil {
		t.Fatal(err)
	}

	found := make(map[string]map[string]bool)

	for name, points := range w.collect(t) {
		found[name] = make(map[string]bool)

		for _, p := range points {
			for _, attr := range p.attrs.ToSlice() {
				found[name][string(attr.Key)] = true
			}
		}
	}

	if err := stop(); err != nil {
		t.Error(err)
	}

	return found
}

func TestCatalogueHasExactlyTheMetricsThatAreEmitted(t *testing.T) {
	found := emitted(t)

	for _, m := range onceotel.Metrics() {
		attrs, ok := found[m.Name]
		if !ok {
			t.Errorf("%s is never emitted", m.Name)

			continue
		}

		want := slices.Sorted(slices.Values(m.Attributes))
		if got := slices.Sorted(maps.Keys(attrs)); !slices.Equal(got, want) {
			t.Errorf("%s has the attributes %v, the catalogue says %v", m.Name, got, want)
		}

		delete(found, m.Name)
	}

	for name := range found {
		t.Errorf("%s is not in the catalogue", name)
	}
}

// Units and descriptions come from the catalogue.
func TestInstrumentsHaveTheirUnits(t *testing.T) {
	w := newWatch(t)

	stop, err := scenario.Run(t.Context(), w.Telemetry)
	if err != nil {
		t.Fatal(err)
	}
	defer stop() //nolint:errcheck // metrics are not read again

	var all metricdata.ResourceMetrics
	if err := w.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}

	units := make(map[string]string)

	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			units[m.Name] = m.Unit + m.Description
		}
	}

	for _, m := range onceotel.Metrics() {
		if units[m.Name] != m.Unit+m.Description || m.Unit == "" || m.Description == "" {
			t.Errorf("%s has %q", m.Name, units[m.Name])
		}
	}
}

var write = flag.Bool("write", false, "write the table of metrics to docs/telemetry.md")

const (
	page       = "../docs/telemetry.md"
	tableBegin = "<!-- metrics: begin, go test ./otel -run TestPage -write -->\n"
	tableEnd   = "<!-- metrics: end -->\n"
)

// table returns the catalogue as a Markdown table.
func table() string {
	var b strings.Builder

	b.WriteString("| metric | in Prometheus | kind, unit | attributes | what |\n| --- | --- | --- | --- | --- |\n")

	for _, m := range onceotel.Metrics() {
		attrs := "none"
		if len(m.Attributes) > 0 {
			attrs = "`" + strings.Join(m.Attributes, "`, `") + "`"
		}

		fmt.Fprintf(&b, "| `%s` | `%s` | %s, `%s` | %s | %s |\n", m.Name, m.PrometheusName(), m.Instrument, m.Unit, attrs, m.Description)
	}

	return b.String()
}

func TestPageHasTheTableOfTheCatalogue(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}

	before, rest, found := strings.Cut(string(text), tableBegin)
	_, after, ended := strings.Cut(rest, tableEnd)

	if !found || !ended {
		t.Fatalf("%s has no place for the table", page)
	}

	want := before + tableBegin + table() + tableEnd + after
	if want == string(text) {
		return
	}

	if !*write {
		t.Fatalf("the table of %s is not that of the catalogue: go test ./otel -run TestPage -write", page)
	}

	if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

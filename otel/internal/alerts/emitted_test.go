package alerts_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.yaml.in/yaml/v3"

	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/otel/internal/scenario"
)

// series maps the labels of a metric to their values.
type series map[string]map[string]bool

// exported returns the metrics of the scenario as the Prometheus exporter names them, with the suffixes of histograms.
func exported(t *testing.T) map[string]series {
	t.Helper()

	registry := prometheus.NewRegistry()

	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		t.Fatal(err)
	}

	telemetry, err := onceotel.New(onceotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}

	stop, err := scenario.Run(t.Context(), telemetry)
	if err != nil {
		t.Fatal(err)
	}
	defer stop() //nolint:errcheck // metrics are not read again

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}

	found := make(map[string]series)

	for _, family := range families {
		of := make(series)

		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if of[label.GetName()] == nil {
					of[label.GetName()] = make(map[string]bool)
				}

				of[label.GetName()][label.GetValue()] = true
			}
		}

		// Added by the scrape.
		of["job"], of["instance"] = nil, nil

		if family.GetType().String() == "HISTOGRAM" {
			buckets := maps.Clone(of)
			buckets["le"] = nil
			found[family.GetName()+"_bucket"] = buckets
			found[family.GetName()+"_sum"], found[family.GetName()+"_count"] = of, of
		} else {
			found[family.GetName()] = of
		}
	}

	return found
}

func TestCatalogueHasTheNamesInPrometheus(t *testing.T) {
	found := exported(t)

	for _, m := range onceotel.Metrics() {
		name := m.PrometheusName()
		if m.Instrument == "histogram" {
			name += "_bucket"
		}

		if found[name] == nil {
			t.Errorf("%s is not exported as %s", m.Name, name)
		}
	}
}

// expressions returns all expressions of the dashboard and the rules, by place.
func expressions(t *testing.T) map[string]string {
	t.Helper()

	all := make(map[string]string)

	var board struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Targets []struct {
				Expr         string `json:"expr"`
				LegendFormat string `json:"legendFormat"`
			} `json:"targets"`
		} `json:"panels"`
	}

	if err := json.Unmarshal([]byte(onceotel.Dashboard()), &board); err != nil {
		t.Fatal(err)
	}

	ids := make(map[int]bool)

	for _, panel := range board.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the id %d", panel.ID)
		}

		ids[panel.ID] = true

		for i, target := range panel.Targets {
			all[fmt.Sprintf("panel %q, query %d", panel.Title, i)] = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$method", ".*").
				Replace(target.Expr)
		}
	}

	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}

	if err := yaml.Unmarshal([]byte(onceotel.Alerts()), &file); err != nil {
		t.Fatal(err)
	}

	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			all["alert "+rule.Alert] = rule.Expr
		}
	}

	if len(all) < 50 {
		t.Fatalf("there are %d expressions", len(all))
	}

	return all
}

// This test finds renamed metrics and missing labels.
func TestDashboardAndAlertsNameOnlyWhatIsEmitted(t *testing.T) {
	found := exported(t)
	used := make(map[string]bool)

	for where, text := range expressions(t) {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
		if err != nil {
			t.Errorf("%s: %v", where, err)

			continue
		}

		names, grouping := namesOf(expr)
		for name, matchers := range names {
			used[name] = true

			if found[name] == nil {
				t.Errorf("%s: nothing emits %s", where, name)

				continue
			}

			for _, label := range grouping {
				if _, ok := found[name][label]; !ok {
					t.Errorf("%s: %s has no label %s", where, name, label)
				}
			}

			for _, matcher := range matchers {
				mustMatch(t, where, name, found[name], matcher)
			}
		}
	}

	// The dashboard shows every metric.
	for _, m := range onceotel.Metrics() {
		name := m.PrometheusName()
		if !used[name] && !used[name+"_bucket"] && !used[name+"_sum"] && !used[name+"_count"] {
			t.Errorf("neither the dashboard nor a rule uses %s", m.Name)
		}
	}
}

// namesOf returns the metrics of an expression with their matchers, and the labels that it groups by.
func namesOf(expr parser.Expr) (names map[string][]*labels.Matcher, grouping []string) {
	names = make(map[string][]*labels.Matcher)

	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			names[node.Name] = append(names[node.Name], node.LabelMatchers...)
		case *parser.AggregateExpr:
			grouping = append(grouping, node.Grouping...)
		}

		return nil
	})

	slices.Sort(grouping)

	return names, slices.Compact(grouping)
}

// mustMatch checks that the metric has the label of a matcher, and that the value occurs.
func mustMatch(t *testing.T, where, name string, of series, matcher *labels.Matcher) {
	t.Helper()

	if matcher.Name == model.MetricNameLabel {
		return
	}

	values, ok := of[matcher.Name]
	if !ok {
		t.Errorf("%s: %s has no label %s", where, name, matcher.Name)
	}

	if values == nil || matcher.Value == "" || matcher.Value == ".*" {
		return
	}

	for wanted := range strings.SplitSeq(matcher.Value, "|") {
		if !values[wanted] {
			t.Errorf("%s: %s never has %s, which is in %s", where, name, wanted, matcher)
		}
	}
}

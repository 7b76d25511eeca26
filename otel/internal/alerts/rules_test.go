package alerts_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"

	onceotel "github.com/onlyonce-go/onlyonce/otel"
)

// unitTests is a file of unit tests in the format of promtool test rules.
type unitTests struct {
	Tests []unitTest `yaml:"tests"`
}

type unitTest struct {
	Name        string        `yaml:"name"`
	Interval    time.Duration `yaml:"interval"`
	InputSeries []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	AlertRuleTest []alertTest `yaml:"alert_rule_test"`
}

type alertTest struct {
	EvalTime  time.Duration `yaml:"eval_time"`
	Alertname string        `yaml:"alertname"`
	ExpAlerts []struct {
		ExpLabels map[string]string `yaml:"exp_labels"`
	} `yaml:"exp_alerts"`
}

func readUnitTests(t *testing.T) []unitTest {
	t.Helper()

	text, err := os.ReadFile("testdata/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}

	var file unitTests
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}

	return file.Tests
}

func TestAlertsFireWhenTheyMustAndNotOtherwise(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.yaml")
	if err := os.WriteFile(path, []byte(onceotel.Alerts()), 0o600); err != nil {
		t.Fatal(err)
	}

	fires, rests := make(map[string]bool), make(map[string]bool)

	for _, test := range readUnitTests(t) {
		for _, alert := range test.AlertRuleTest {
			if len(alert.ExpAlerts) > 0 {
				fires[alert.Alertname] = true
			} else {
				rests[alert.Alertname] = true
			}
		}

		t.Run(test.Name, func(t *testing.T) { test.run(t, path) })
	}

	for where := range expressions(t) {
		if name, ok := strings.CutPrefix(where, "alert "); ok && (!fires[name] || !rests[name]) {
			t.Errorf("no test in which %s fires and one in which it does not: %t, %t", name, fires[name], rests[name])
		}
	}
}

// run evaluates all rules at every interval, as Prometheus does.
func (test *unitTest) run(t *testing.T, path string) {
	t.Helper()

	var load strings.Builder

	fmt.Fprintf(&load, "load %v\n", test.Interval)

	for _, s := range test.InputSeries {
		fmt.Fprintf(&load, "  %s %s\n", s.Series, s.Values)
	}

	storage := promqltest.LoadedStorage(t, load.String())
	defer storage.Close()

	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 100_000) // of Prometheus

	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(engine, storage), Appendable: storage, Queryable: storage, Context: t.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: slog.New(slog.DiscardHandler),
		Parser: parser.NewParser(parser.Options{}),
	})

	groups, errs := manager.LoadGroups(test.Interval, labels.EmptyLabels(), "", nil, false, path)
	if len(errs) > 0 {
		t.Fatal(errs)
	}

	var last time.Duration
	for _, alert := range test.AlertRuleTest {
		last = max(last, alert.EvalTime)
	}

	for _, group := range groups {
		for _, rule := range group.AlertingRules() {
			rule.SetRestored(true)
		}
	}

	for at := time.Duration(0); at <= last; at += test.Interval {
		for _, group := range groups {
			group.Eval(t.Context(), time.Unix(0, 0).Add(at))

			for _, rule := range group.Rules() {
				if rule.LastError() != nil {
					t.Fatalf("%s: %v", rule.Name(), rule.LastError())
				}
			}
		}

		for _, alert := range test.AlertRuleTest {
			if alert.EvalTime == at {
				alert.check(t, groups)
			}
		}
	}
}

func (a *alertTest) check(t *testing.T, groups map[string]*rules.Group) {
	t.Helper()

	var got []string

	want := make([]string, 0, len(a.ExpAlerts))

	for _, group := range groups {
		for _, rule := range group.AlertingRules() {
			if rule.Name() != a.Alertname {
				continue
			}

			for _, alert := range rule.ActiveAlerts() {
				if alert.State == rules.StateFiring {
					found := alert.Labels.Map()
					delete(found, "alertname")
					got = append(got, fmt.Sprint(found))

					mustBeText(t, a.Alertname, alert.Annotations.Map())
				}
			}
		}
	}

	for _, exp := range a.ExpAlerts {
		want = append(want, fmt.Sprint(exp.ExpLabels))
	}

	slices.Sort(got)
	slices.Sort(want)

	if !slices.Equal(got, want) {
		t.Errorf("after %v, %s fires with %v, want %v", a.EvalTime, a.Alertname, got, want)
	}
}

// mustBeText checks that the templates of an alert are filled in.
func mustBeText(t *testing.T, alert string, annotations map[string]string) {
	t.Helper()

	for _, name := range []string{"summary", "description"} {
		text := annotations[name]
		if text == "" || strings.Contains(text, "{{") || strings.Contains(text, "error") && strings.Contains(text, "template") {
			t.Errorf("the %s of %s is %q", name, alert, text)
		}
	}
}

package model_test

import (
	"flag"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/model"
	"github.com/onlyonce-go/onlyonce/store"
)

// calls is the number of calls on the record. At most two are under way at a time. Two take seconds with the race
// detector; `make soak` takes three.
var calls = flag.Int("calls", 2, "calls in the model, 1 to 3")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func guarantees() []store.Guarantee {
	return []store.Guarantee{store.AtMostOnce, store.AtLeastOnce, store.ExactlyOnce}
}

func TestTheRulesHaveNoCounterexample(t *testing.T) {
	t.Parallel()

	for _, guarantee := range guarantees() {
		for name, config := range map[string]model.Config{
			"one request":       {Guarantee: guarantee},
			"two requests":      {Guarantee: guarantee, TwoRequests: true},
			"bounded takeovers": {Guarantee: guarantee, MaxAttempts: 2},
			"private callers":   {Guarantee: guarantee, Private: true, MaxFence: 3},
			"recovery function": {Guarantee: guarantee, Recovery: true, MaxFence: 3},
			"retention":         {Guarantee: guarantee, Days: true, MaxFence: 2},
			"time-ordered key":  {Guarantee: guarantee, TimeOrdered: true, MaxFence: 2},
			"forgetting":        {Guarantee: guarantee, Forgets: true, MaxFence: 3},
		} {
			t.Run(guarantee.String()+", "+name, func(t *testing.T) {
				t.Parallel()

				config.Calls = *calls

				result := model.Check(config)
				t.Log(result)

				if !result.Complete {
					t.Errorf("want every state visited and none broken:\n%v", result)
				}
			})
		}
	}
}

func TestEachRuleIsNeeded(t *testing.T) {
	t.Parallel()

	for _, rule := range model.Rules() {
		t.Run(string(rule.Fault), func(t *testing.T) {
			t.Parallel()

			result := model.Check(rule.Config())
			if result.Broken != rule.Breaks {
				t.Errorf("want a counterexample to %q, got %v", rule.Breaks, result)
			}

			t.Log(result)
		})
	}
}

func TestFaultRowsHaveTheirRules(t *testing.T) {
	t.Parallel()

	for row, faults := range map[string][]model.Fault{
		"F61 a settled record is kept":        {model.OperatorsRetention},
		"F62 the caller's own replay check":   {model.OvertakenNotAsked, model.CommitNotAsked, model.WaiterNotAsked},
		"F63 the life of time-ordered keys":   {model.LifeIsRetention, model.NoKeyLife, model.TombstoneProves},
		"F66 recovery is asked of each owner": {model.AskedOnce, model.AnswerAboutAnother},
	} {
		for _, fault := range faults {
			if !slices.ContainsFunc(model.Rules(), func(r model.Rule) bool { return r.Fault == fault }) {
				t.Errorf("%s: want a rule for %q", row, fault)
			}
		}
	}

	for _, rule := range model.Rules() {
		if !slices.Contains(model.Properties(), rule.Breaks) {
			t.Errorf("%s: want %q among the properties that the page lists", rule.Fault, rule.Breaks)
		}
	}
}

package model_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/model"
	"github.com/onlyonce-go/onlyonce/store"
)

// calls is how many calls meet on the record, two at a time. Two take seconds with the race detector; `make soak` takes
// three.
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

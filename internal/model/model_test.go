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

	for _, c := range []struct {
		fault     model.Fault
		guarantee store.Guarantee
		breaks    model.Property
	}{
		{model.ClaimWithoutFence, store.AtMostOnce, model.NoLateWin},
		{model.NoOwnerCheck, store.AtLeastOnce, model.NoFalseLoss},
		{model.OwnClaimUnknown, store.AtMostOnce, model.NoFalseLoss},
		{model.OutcomeNotCompared, store.AtMostOnce, model.OneAnswer},
		{model.RepeatRefused, store.AtMostOnce, model.NoFalseLoss},
		{model.NoFenceAtRevival, store.AtMostOnce, model.FenceRises},
		{model.NoRelease, store.AtMostOnce, model.NoLateWin},
		{model.NoTombstone, store.AtMostOnce, model.NoLateWin},
		{model.FingerprintIgnored, store.AtMostOnce, model.OneRequest},
		{model.FenceResetAtRelease, store.AtMostOnce, model.FenceRises},
		{model.NoFenceAtTakeover, store.AtLeastOnce, model.FenceRises},
		{model.ExpiryWithLease, store.AtMostOnce, model.FenceRises},
		{model.TakeoverAtMostOnce, store.AtMostOnce, model.AtMostOneEffect},
		{model.LateOverResolution, store.AtMostOnce, model.CompletedStays},
		{model.CarelessResolver, store.AtMostOnce, model.AtMostOneEffect},
		{model.DoubtForgotten, store.AtLeastOnce, model.NoFalseRelease},
		{model.NoReviverLife, store.AtMostOnce, model.AtMostOneEffect},
		{model.NoResolver, store.AtMostOnce, model.NoDeadEnd},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()

			result := model.Check(model.Config{
				Guarantee: c.guarantee, Calls: 2, Fault: c.fault, TwoRequests: c.fault == model.FingerprintIgnored,
				MaxStates: 2_000_000,
			})
			if result.Broken != c.breaks {
				t.Errorf("want a counterexample to %q, got %v", c.breaks, result)
			}

			t.Log(result)
		})
	}
}

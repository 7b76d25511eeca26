package toss_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	"github.com/onlyonce-go/onlyonce/examples/recipes/toss"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pay returns a function that pays for an order, like a client that retries.
func pay(t *testing.T, fake *fake, guarantee onlyonce.Guarantee) func() (onlyonce.Result, error) {
	t.Helper()

	fake.keys, fake.sent, fake.status = make(map[string]bool), make(map[string]bool), "IN_PROGRESS"

	url, http := trial.ServeProvider(t, fake)
	client := &toss.Toss{HTTP: http, URL: url, Secret: "test_sk"}
	engine := trial.NewEngine(t, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: guarantee}))

	return func() (onlyonce.Result, error) {
		return trial.Call(t.Context(), engine, "", client.Recover, func(ctx context.Context) (string, error) {
			return "tviva1", client.Confirm(ctx, "tviva1", fake.order, 1000)
		})
	}
}

func TestLostAnswerIsFoundByTheOrderAndConfirmedOnce(t *testing.T) {
	fake := &fake{order: "order-7", loseNext: true}
	pay := pay(t, fake, onlyonce.AtMostOnce)

	if _, err := pay(); err == nil {
		t.Fatal("the answer is not lost")
	}

	if result, err := pay(); err != nil || result.Status != onlyonce.StatusReplayed || string(result.Body) != "tviva1" || fake.confirmed != 1 {
		t.Errorf("%s %q %v, confirmed %d times", result.Status, result.Body, err, fake.confirmed)
	}
}

func TestLostRequestStaysUnknownWhileThePaymentCanBeConfirmed(t *testing.T) {
	fake := &fake{order: "order-7", failFirst: true}
	pay := pay(t, fake, onlyonce.AtMostOnce)

	if _, err := pay(); err == nil {
		t.Fatal("the request is not lost")
	}

	if _, err := pay(); !errors.Is(err, onlyonce.ReasonOutcomeUnknown) || fake.confirmed != 0 {
		t.Errorf("%v, confirmed %d times", err, fake.confirmed)
	}
}

func TestRepeatedRunSendsTheSameKey(t *testing.T) {
	fake := &fake{order: "order-7", failFirst: true}
	pay := pay(t, fake, onlyonce.AtLeastOnce)

	if _, err := pay(); err == nil {
		t.Fatal("the request is not lost")
	}

	for _, want := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		if result, err := pay(); err != nil || result.Status != want || fake.confirmed != 1 || len(fake.sent) != 1 {
			t.Errorf("%s %v, confirmed %d times with %d keys", result.Status, err, fake.confirmed, len(fake.sent))
		}
	}
}

func TestCallWhoseKeyIsNotTheOrderSendsNothing(t *testing.T) {
	fake := &fake{order: "order-8"}
	pay := pay(t, fake, onlyonce.AtMostOnce)

	if _, err := pay(); onlyonce.VerdictOf(err) != onlyonce.VerdictNotExecuted || len(fake.sent) != 0 {
		t.Errorf("%v, sent %d requests", err, len(fake.sent))
	}
}

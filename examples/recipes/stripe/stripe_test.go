package stripe_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	"github.com/onlyonce-go/onlyonce/examples/recipes/stripe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pay returns a function that pays for an order of a scope, like a client that retries.
func pay(t *testing.T, fake *fake, guarantee onlyonce.Guarantee, card string) func(scope string) (onlyonce.Result, error) {
	t.Helper()

	fake.results = make(map[string]result)

	url, http := trial.ServeProvider(t, fake)
	client := &stripe.Stripe{HTTP: http, URL: url, Secret: "sk_test"}
	engine := trial.NewEngine(t, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: guarantee}))

	return func(scope string) (onlyonce.Result, error) {
		return trial.Call(t.Context(), engine, scope, client.Recover, func(ctx context.Context) (string, error) {
			intent, err := client.Charge(ctx, card, 100)

			return intent.ID, err
		})
	}
}

func TestLostAnswerIsRepeatedUnderTheSameKeyAndChargesOnce(t *testing.T) {
	fake := &fake{loseNext: true}
	pay := pay(t, fake, onlyonce.AtLeastOnce, "pm_card_visa")

	if _, err := pay("ann"); err == nil {
		t.Fatal("the answer is not lost")
	}

	fake.mu.Lock()
	fake.lagging = true // Recover finds nothing, so the handler runs again
	fake.mu.Unlock()

	if result, err := pay("ann"); err != nil || result.Status != onlyonce.StatusExecuted || string(result.Body) != "pi_1" ||
		len(fake.charged) != 1 {
		t.Errorf("%s %q %v, charged for %v", result.Status, result.Body, err, fake.charged)
	}
}

func TestDeclinedCardIsAFinalAnswer(t *testing.T) {
	pay := pay(t, &fake{}, onlyonce.AtMostOnce, "pm_card_chargeDeclined")

	for range 2 {
		if _, err := pay("ann"); err == nil || onlyonce.VerdictOf(err) != onlyonce.VerdictFinal {
			t.Errorf("%v is %s", err, onlyonce.VerdictOf(err))
		}
	}
}

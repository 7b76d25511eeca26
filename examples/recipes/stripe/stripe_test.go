package stripe_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/stripe"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pay returns a function that pays for an order, like a client that retries.
func pay(t *testing.T, fake *fake, guarantee onlyonce.Guarantee, card string) func() (onlyonce.Result, error) {
	t.Helper()

	fake.results = make(map[string]result)

	server := httptest.NewUnstartedServer(fake)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)

	client := &stripe.Stripe{HTTP: server.Client(), URL: server.URL, Secret: "sk_test"}

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: guarantee}), onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	return func() (onlyonce.Result, error) {
		return engine.Do(t.Context(), onlyonce.Call{Method: "pay", Key: "order-7", Recover: client.Recover},
			func(ctx context.Context) ([]byte, error) {
				intent, err := client.Charge(ctx, card, 100)

				return []byte(intent.ID), err
			})
	}
}

func TestLostAnswerIsRepeatedUnderTheSameKeyAndChargesOnce(t *testing.T) {
	fake := &fake{loseNext: true}
	pay := pay(t, fake, onlyonce.AtLeastOnce, "pm_card_visa")

	if _, err := pay(); err == nil {
		t.Fatal("the answer is not lost")
	}

	fake.mu.Lock()
	fake.lagging = true // Recover finds nothing, so the handler runs again
	fake.mu.Unlock()

	if result, err := pay(); err != nil || result.Status != onlyonce.StatusExecuted || string(result.Body) != "pi_1" ||
		len(fake.charged) != 1 {
		t.Errorf("%s %q %v, charged for %v", result.Status, result.Body, err, fake.charged)
	}
}

func TestUnknownOutcomeIsSettledWhenSearchFindsThePayment(t *testing.T) {
	fake := &fake{loseNext: true, lagging: true}
	pay := pay(t, fake, onlyonce.AtMostOnce, "pm_card_visa")

	if _, err := pay(); err == nil {
		t.Fatal("the answer is not lost")
	}

	if _, err := pay(); !errors.Is(err, onlyonce.ReasonOutcomeUnknown) {
		t.Fatalf("while search is behind: %v", err)
	}

	fake.mu.Lock()
	fake.lagging = false
	fake.mu.Unlock()

	if result, err := pay(); err != nil || result.Status != onlyonce.StatusReplayed || string(result.Body) != "pi_1" ||
		len(fake.charged) != 1 {
		t.Errorf("%s %q %v, charged for %v", result.Status, result.Body, err, fake.charged)
	}
}

func TestDeclinedCardIsAFinalAnswer(t *testing.T) {
	pay := pay(t, &fake{}, onlyonce.AtMostOnce, "pm_card_chargeDeclined")

	for _, want := range []onlyonce.Verdict{onlyonce.VerdictFinal, onlyonce.VerdictFinal} {
		if _, err := pay(); err == nil || onlyonce.VerdictOf(err) != want {
			t.Errorf("%v is %s", err, onlyonce.VerdictOf(err))
		}
	}
}

package stripe_test

import (
	"errors"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/stripe"
)

func TestNothingFoundProvesNothingBeforeSearchIsUpToDate(t *testing.T) {
	for _, test := range []struct {
		found []stripe.Intent
		since time.Duration
		want  onlyonce.Finding
	}{
		{nil, stripe.SearchLag, onlyonce.StillUnknown()},
		{nil, stripe.SearchLag + 1, onlyonce.DidNotHappen()},
		{[]stripe.Intent{{ID: "pi_1", Status: "requires_payment_method"}}, stripe.SearchLag, onlyonce.StillUnknown()},
		{[]stripe.Intent{{ID: "pi_1", Status: "requires_payment_method"}}, stripe.SearchLag + 1, onlyonce.DidNotHappen()},
		{[]stripe.Intent{{ID: "pi_1", Status: "processing"}}, stripe.SearchLag + 1, onlyonce.StillUnknown()},
		{[]stripe.Intent{{ID: "pi_1", Status: "succeeded"}}, 0, onlyonce.Happened("OK", []byte("pi_1"))},
	} {
		if got := stripe.Judge(test.found, test.since); got.String() != test.want.String() {
			t.Errorf("%v after %s: %s, want %s", test.found, test.since, got, test.want)
		}
	}
}

func TestUnknownOutcomeIsSettledWhenSearchFindsThePayment(t *testing.T) {
	fake := &fake{loseNext: true, lagging: true}
	pay := pay(t, fake, onlyonce.AtMostOnce, "pm_card_visa")

	if _, err := pay("ann"); err == nil {
		t.Fatal("the answer is not lost")
	}

	if _, err := pay("ann"); !errors.Is(err, onlyonce.ReasonOutcomeUnknown) {
		t.Fatalf("while search is behind: %v", err)
	}

	fake.mu.Lock()
	fake.lagging = false
	fake.mu.Unlock()

	if result, err := pay("ann"); err != nil || result.Status != onlyonce.StatusReplayed || string(result.Body) != "pi_1" ||
		len(fake.charged) != 1 {
		t.Errorf("%s %q %v, charged for %v", result.Status, result.Body, err, fake.charged)
	}
}

func TestRecoverFindsThePaymentOfItsOwnScope(t *testing.T) {
	fake := &fake{loseNext: true}
	pay := pay(t, fake, onlyonce.AtMostOnce, "pm_card_visa")

	if _, err := pay("ann"); err == nil {
		t.Fatal("the answer is not lost")
	}

	fake.mu.Lock()
	fake.loseBefore = true
	fake.mu.Unlock()

	for range 2 {
		if result, err := pay("bob"); err == nil {
			t.Errorf("bob has paid with %q", result.Body)
		}
	}

	if result, err := pay("ann"); err != nil || string(result.Body) != "pi_1" {
		t.Errorf("%s %q %v", result.Status, result.Body, err)
	}
}

package stripe_test

import (
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
		{[]stripe.Intent{{ID: "pi_1", Status: "processing"}}, stripe.SearchLag + 1, onlyonce.StillUnknown()},
		{[]stripe.Intent{{ID: "pi_1", Status: "succeeded"}}, 0, onlyonce.Happened("OK", []byte("pi_1"))},
	} {
		if got := stripe.Judge(test.found, test.since); got.String() != test.want.String() {
			t.Errorf("%v after %s: %s, want %s", test.found, test.since, got, test.want)
		}
	}
}

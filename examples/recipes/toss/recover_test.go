package toss_test

import (
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/recipes/toss"
)

func TestStatusOfAPaymentDecidesWhetherItHappened(t *testing.T) {
	for status, want := range map[string]onlyonce.Finding{
		"DONE": onlyonce.Happened("OK", nil), "EXPIRED": onlyonce.DidNotHappen(), "ABORTED": onlyonce.DidNotHappen(),
		"IN_PROGRESS": onlyonce.StillUnknown(), "READY": onlyonce.StillUnknown(), "": onlyonce.StillUnknown(),
		"CANCELED": onlyonce.StillUnknown(), // it happened, and was taken back: a person decides what the caller gets
	} {
		if got := toss.Judge("tviva1", status); got.String() != want.String() {
			t.Errorf("%q: %s, want %s", status, got, want)
		}
	}
}

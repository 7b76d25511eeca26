package main

import (
	"testing"
)

func TestEveryWayOfConnectAnswersAlike(t *testing.T) {
	harness := newHarness(t.Context(), 1)

	for _, way := range []string{bareConnect, onlyonceConnect, bare, onlyonceGRPC} {
		serve, err := harness.serverOf(way)
		if err != nil {
			t.Fatal(err)
		}

		for range 2 {
			if err := serve("key"); err != nil {
				t.Errorf("%s: %v", way, err)
			}
		}
	}
}

func TestTheKitOnConnectReplays(t *testing.T) {
	svc := new(service)
	runs := 0
	svc.fail = func() error {
		runs++

		return nil
	}

	h, err := connectProtection(svc, onlyonceConnect)
	if err != nil {
		t.Fatal(err)
	}

	for range 3 {
		if err := serveConnect(t.Context(), h, newHarness(t.Context(), 1).request, "key"); err != nil {
			t.Error(err)
		}
	}

	if runs != 1 {
		t.Errorf("the handler ran %d times, want 1", runs)
	}
}

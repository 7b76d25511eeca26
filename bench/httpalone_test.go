package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestEveryHTTPProtectionAnswersAlike(t *testing.T) {
	for _, way := range []string{bareHandler, byLeast, byOnlyonce} {
		h, err := httpProtection(way)
		if err != nil {
			t.Fatal(err)
		}

		for range 2 {
			if err := serveHTTP(t.Context(), h, "key"); err != nil {
				t.Errorf("%s: %v", way, err)
			}
		}
	}
}

func TestLeastHTTPRefusesAnotherRequest(t *testing.T) {
	h, err := httpProtection(byLeast)
	if err != nil {
		t.Fatal(err)
	}

	if err := serveHTTP(t.Context(), h, "key"); err != nil {
		t.Fatal(err)
	}

	r := httptest.NewRequest(http.MethodPost, "/payments", http.NoBody)
	r.Header.Set("Idempotency-Key", "key")

	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)

	if w.Code != http.StatusUnprocessableEntity {
		t.Errorf("%d", w.Code)
	}
}

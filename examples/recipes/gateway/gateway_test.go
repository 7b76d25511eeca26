package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/recipes/gateway"
	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRepeatedRequestPaysOnce(t *testing.T) {
	payments := new(trial.Payments)

	handler, err := gateway.NewHandler(t.Context(), trial.NewServer(t), payments)
	if err != nil {
		t.Fatal(err)
	}

	for _, request := range []struct {
		cents, status string
		code          int
	}{{"100", "executed", http.StatusOK}, {"100", "replayed", http.StatusOK}, {"200", "rejected", http.StatusUnprocessableEntity}} {
		body := strings.NewReader(`{"account": "rent", "cents": "` + request.cents + `"}`)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/payments", body)
		r.Header.Set("Idempotency-Key", "order-7")

		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)

		if w.Code != request.code || w.Header().Get("Idempotency-Status") != request.status ||
			w.Code == http.StatusOK && !strings.Contains(w.Body.String(), "receipt 1") {
			t.Errorf("%s cents: %d %v %s", request.cents, w.Code, w.Header(), w.Body)
		}
	}

	if n := payments.Made(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}

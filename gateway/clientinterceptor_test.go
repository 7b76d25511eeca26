package oncegateway_test

import (
	"net/http"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// The connection of the gateway to the server may have the client interceptor.
func TestAGatewayWithTheClientInterceptor(t *testing.T) {
	w := start(t, setup{}, nil)

	options, err := interceptor.DialOptions()
	if err != nil {
		t.Fatal(err)
	}

	w.register(tillv1.NewTillServiceClient(w.dial(w.backend.String(), options...)))

	first := w.post(charges, "order-1", payload).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.post(charges, "order-1", payload, "X-Retry-Attempt", "1").mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
	w.post(charges, "order-1", `{"cents": "200"}`).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
	w.mustHaveRun(1)

	w.post(charges, "", payload).mustBe(onlyonce.StatusExecuted, http.StatusOK) // the gateway makes a key
	w.mustHaveRun(2)

	w.post(charges, "", payload, "X-Retry-Attempt", "1").mustBe("", http.StatusBadRequest) // each attempt would get another key
	w.post(charges, "order 1", payload).mustBe("", http.StatusBadRequest)                  // no server has seen it
	w.post(charges, "order-1", payload, "Idempotency-Key", "order-2").mustBe("", http.StatusBadRequest)
	w.mustHaveRun(2)
}

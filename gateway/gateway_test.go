package oncegateway_test

import (
	"net/http"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

func TestRetriesThroughTheGatewayRunOnceAndGetTheSameAnswer(t *testing.T) {
	for name, s := range map[string]setup{"HTTP/1.1": {}, "HTTP/2": {http2: true}, "in process": {inProcess: true}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, s, nil)

			first := w.post(charges, "order-1", payload).mustBe(onlyonce.StatusExecuted, http.StatusOK)
			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
			w.post(charges, `"order-1"`, payload).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
			w.mustHaveRun(1)

			w.post(charges, "order-2", payload).mustBe(onlyonce.StatusExecuted, http.StatusOK)
			w.mustHaveRun(2)
		})
	}
}

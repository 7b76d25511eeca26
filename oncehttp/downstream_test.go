package oncehttp_test

import (
	"net/http"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// A handler may pass on the answer of another server of the kit. A rejection there says nothing about the effect of this request.
func TestDownstreamRejectionIsAmbiguous(t *testing.T) {
	for said, definite := range map[onlyonce.Status]bool{
		onlyonce.StatusRejected: false, onlyonce.StatusUnknown: false, onlyonce.StatusReleased: false,
		onlyonce.StatusExecuted: true, onlyonce.StatusReplayed: true,
	} {
		w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set(oncehttp.StatusHeader, string(said)) // as a proxy passes it on
			rw.WriteHeader(http.StatusUnprocessableEntity)
		})

		if definite {
			w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusUnprocessableEntity)
			w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusUnprocessableEntity)
		} else {
			w.post("k").mustBe(onlyonce.StatusUnknown, http.StatusUnprocessableEntity)
			w.post("k").mustReject(http.StatusConflict, onlyonce.ReasonOutcomeUnknown)
		}

		w.mustHaveRun(1)
	}
}

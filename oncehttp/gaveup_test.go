package oncehttp_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Many handlers return when their context ends and write nothing, because they expect that the client has left. That is no 200.
func TestF51HandlerThatGivesUpDoesNotAnswer200(t *testing.T) {
	for name, c := range map[string]struct {
		write  func(rw http.ResponseWriter, r *http.Request)
		said   onlyonce.Status
		status int
	}{
		"writes nothing": {
			func(http.ResponseWriter, *http.Request) {}, onlyonce.StatusUnknown, http.StatusServiceUnavailable,
		},
		"writes its answer": {
			func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusOK) }, onlyonce.StatusExecuted, http.StatusOK,
		},
		"writes nothing, and knows that nothing happened": {
			func(_ http.ResponseWriter, r *http.Request) { oncehttp.NotExecuted(r.Context()) }, onlyonce.StatusReleased,
			http.StatusServiceUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			started := make(chan struct{})

			// The preset makes 5xx definite.
			options := []oncehttp.Option{oncehttp.WithPreset(oncehttp.Stripe())}
			w := start(t, setup{engine: []onlyonce.Option{patient()}, options: options}, func(rw http.ResponseWriter, r *http.Request) {
				close(started)
				<-r.Context().Done()
				c.write(rw, r)
			})

			go func() {
				<-started

				ended, cancel := context.WithCancel(context.Background())
				cancel()

				_ = w.engine.Drain(ended) // ends the context of the run
			}()

			w.post("k").mustBe(c.said, c.status)
		})
	}
}

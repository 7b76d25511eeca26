package oncehttp_test

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

func TestF33PanicIsRecordedAndRaisedAgain(t *testing.T) {
	for name, problem := range map[string]any{"panic": "boom", "abort": http.ErrAbortHandler} {
		t.Run(name, func(t *testing.T) {
			var raised atomic.Value

			w := start(t, setup{front: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					defer func() {
						if p := recover(); p != nil {
							raised.Store(p)
							rw.WriteHeader(http.StatusInternalServerError)
						}
					}()

					next.ServeHTTP(rw, r)
				})
			}}, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("X-Partial", "1")
				_, _ = io.WriteString(rw, "partial")

				panic(problem)
			})

			if a := w.post("k").mustBe(onlyonce.StatusUnknown, http.StatusInternalServerError); a.body != "" || a.header.Get("X-Partial") != "" {
				t.Errorf("%q %v", a.body, a.header)
			}

			if raised.Load() != problem {
				t.Errorf("raised %v", raised.Load())
			}

			w.post("k").mustReject(http.StatusConflict, onlyonce.ReasonOutcomeUnknown)
			w.mustHaveRun(1)
		})
	}
}

// The recovery in front ends the part as if it were a whole answer.
// swallowPanics is a recovery that writes nothing.
func swallowPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()

		next.ServeHTTP(rw, r)
	})
}

func TestF33PanicAfterAFlushIsDeclaredInTheTrailer(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2, front: swallowPanics}, func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, "partial")
			_ = http.NewResponseController(rw).Flush()

			panic("boom")
		})

		if a := w.post("k"); a.status != http.StatusOK || a.trailer.Get(oncehttp.StatusHeader) != string(onlyonce.StatusUnknown) {
			t.Errorf("%d, trailer %v", a.status, a.trailer)
		}
	})
}

func TestF33PanicWithoutARecoveryInFront(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}})},
		func(http.ResponseWriter, *http.Request) { panic("boom") })

	for range 2 {
		if resp, err := w.client.Do(w.request(http.MethodPost, "/", "k", "")); err == nil {
			t.Errorf("%v", resp)
			_ = resp.Body.Close()
		}
	}

	if n := w.runs.Load(); n < 2 { // net/http may resend the request, because the connection is broken
		t.Errorf("%d runs under AtLeastOnce", n)
	}
}

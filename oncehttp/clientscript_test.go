package oncehttp_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// script is a server that answers the attempts one after the other, and remembers their keys.
type script struct {
	mu    sync.Mutex
	steps []func(rw http.ResponseWriter, r *http.Request)
	keys  []string
	body  []string
}

func (s *script) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)

	s.mu.Lock()
	s.keys = append(s.keys, r.Header.Get(oncehttp.KeyHeader))
	s.body = append(s.body, string(body))
	step := s.steps[min(len(s.keys), len(s.steps))-1]
	s.mu.Unlock()

	step(rw, r)
}

func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.keys)
}

// again is the same step.
func again(step func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
	return step
}

// drop breaks the connection.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// says answers with a status of the contract.
func says(status int, said onlyonce.Status, headers ...string) func(http.ResponseWriter, *http.Request) {
	return func(rw http.ResponseWriter, _ *http.Request) {
		if said != "" {
			rw.Header().Set(oncehttp.StatusHeader, string(said))
		}

		for i := 0; i+1 < len(headers); i += 2 {
			rw.Header().Set(headers[i], headers[i+1])
		}

		rw.WriteHeader(status)
	}
}

// rejects answers with a rejection.
func rejects(status int, reason onlyonce.Reason, after string) func(http.ResponseWriter, *http.Request) {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set(oncehttp.StatusHeader, "rejected")
		rw.Header().Set("Content-Type", "application/problem+json")

		if after != "" {
			rw.Header().Set("Retry-After", after)
		}

		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, `{"reason":"`+string(reason)+`","detail":"`+strings.Repeat("x", 10_000)+`"}`)
	}
}

// gatewayStream answers as package oncegateway does to a stream with a key.
func gatewayStream(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set(oncehttp.StatusHeader, "rejected")
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusNotImplemented)
	_, _ = io.WriteString(rw, `{"error":{"code":12,"message":"a stream","details":[`+
		`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"IDEMPOTENCY_NOT_SUPPORTED","domain":"onlyonce"}]}}`)
}

// scripted starts a server with a script.
func scripted(t *testing.T, steps ...func(http.ResponseWriter, *http.Request)) (*world, *script) {
	t.Helper()

	s := &script{steps: steps}
	w := &world{t: t, server: httptest.NewUnstartedServer(s)}
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	w.server.Start()
	t.Cleanup(w.server.Close)

	return w, s
}

// one is the key of all requests, which must be so many.
func (s *script) one(t *testing.T, want int) string {
	t.Helper()

	keys := s.requests()
	if len(keys) != want || len(slices.Compact(slices.Clone(keys))) != min(want, 1) {
		t.Fatalf("the server got keys %q, want %d times the same", keys, want)
	}

	return keys[0]
}

//go:build unix

package oncegateway_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// losingServer serves a handler, and loses its first replies: the handler runs, and the connection ends without an answer.
func losingServer(t *testing.T, handler http.Handler, lost *atomic.Int64) net.Addr {
	t.Helper()

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lost.Add(-1) >= 0 {
			handler.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}

		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)

	return server.Listener.Addr()
}

// counting is a handler that counts its runs, under a key or not.
func counting(t *testing.T, runs *atomic.Int64, protected bool) http.Handler {
	t.Helper()

	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs.Add(1)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "charged")
	})

	if protected {
		protect, err := oncehttp.Middleware(newEngine(t, nil), oncehttp.ScopeShared())
		if err != nil {
			t.Fatal(err)
		}

		handler = protect(handler)
	}

	return handler
}

const (
	passHTTP  = "proxy_pass http://backend; "
	sendAgain = "proxy_next_upstream error timeout non_idempotent; "
)

// Nginx sends a request again, to the next server, if its reply is lost and the configuration says that this is safe.
func TestF05NginxSendsARequestAgainWhoseReplyIsLost(t *testing.T) {
	world := start(t, setup{}, nil)

	var httpRuns, bareRuns atomic.Int64

	for name, test := range map[string]struct {
		handler  http.Handler
		runs     *atomic.Int64
		location string
		first    int // the status that the client gets first
		is       onlyonce.Status
		want     int64 // runs
	}{
		"gateway, sent again by nginx":  {world.mux, &world.runs, passHTTP + sendAgain, 200, onlyonce.StatusReplayed, 1},
		"oncehttp, sent again by nginx": {counting(t, &httpRuns, true), &httpRuns, passHTTP + sendAgain, 201, onlyonce.StatusReplayed, 1},
		"without the kit, sent again by nginx: it runs twice": {
			counting(t, &bareRuns, false), &bareRuns, passHTTP + sendAgain, 201, "", 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, lost := *world, &atomic.Int64{}
			w.t = t
			lost.Store(1)

			n := startNginx(t, test.location, losingServer(t, test.handler, lost), losingServer(t, test.handler, lost))
			w.gateway = &httptest.Server{URL: "http://" + n.http}

			w.post(charges, "order-1", payload).mustBe(test.is, test.first)

			if got := test.runs.Load(); got != test.want {
				t.Errorf("the handler ran %d times, want %d", got, test.want)
			}
		})
	}
}

// By default nginx does not send a POST again: its client gets 502, and repeats the request itself.
func TestF05NginxLeavesARetryToItsClientByDefault(t *testing.T) {
	w, lost := start(t, setup{}, nil), &atomic.Int64{}
	lost.Store(1)

	n := startNginx(t, passHTTP, losingServer(t, w.mux, lost), losingServer(t, w.mux, lost))
	w.gateway.Close()
	w.gateway = &httptest.Server{URL: "http://" + n.http}

	w.post(charges, "order-1", payload).mustBe("", http.StatusBadGateway)

	first := w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK)
	w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
	w.mustHaveRun(1)
}

func TestNginxPassesHeadersAndRejectionsOfTheGateway(t *testing.T) {
	w := start(t, setup{}, nil)
	n := startNginx(t, passHTTP, w.gateway.Listener.Addr())
	w.client, w.gateway = http.DefaultClient, &httptest.Server{URL: "http://" + n.http}

	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	first := w.post(charges, `"order-1"`, payload).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
	w.post(charges, "order-1", `{"cents": "200"}`).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
	w.post(charges, "order 2", payload).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
	w.post(charges, "order-3", payload, "TE", "trailers").mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.mustHaveRun(2)

	// Nginx bounds bodies to 1 MB by default, and answers by itself.
	w.post(charges, "order-4", strings.Repeat(" ", 1<<20)+payload).mustBe("", http.StatusRequestEntityTooLarge)
}

// Nginx drops trailers. Over HTTP/1.0, which is its default, only a length shows that an answer has broken off.
func TestNginxLosesTheEndOfAStreamedAnswer(t *testing.T) {
	protect, err := oncehttp.Middleware(newEngine(t, nil), oncehttp.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	server := httptest.NewServer(protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", "4")
		}

		_, _ = io.WriteString(w, "ab")
		_ = http.NewResponseController(w).Flush()

		if r.URL.Query().Has("broken") {
			panic(http.ErrAbortHandler)
		}

		_, _ = io.WriteString(w, "cd")
	})))
	t.Cleanup(server.Close)

	for version, looksWhole := range map[string]bool{"1.0": true, "1.1": false} {
		n := startNginx(t, passHTTP+"proxy_http_version "+version+"; ", server.Listener.Addr())

		for query, whole := range map[string]bool{"": true, "length": true, "broken": looksWhole, "broken&length": false} {
			transport, err := oncehttp.NewTransport(nil)
			if err != nil {
				t.Fatal(err)
			}

			resp, err := (&http.Client{Transport: transport}).Post("http://"+n.http+"/?"+query, "", nil)
			if err != nil {
				t.Fatal(err)
			}

			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()

			if (err == nil) != whole || string(body) != "abcd"[:min(len(body), len("abcd"))] {
				t.Errorf("HTTP/%s, %q: %q, %v", version, query, body, err)
			}

			if outcome := oncehttp.OutcomeOf(resp, nil); outcome.Status != "" || outcome.Verdict != onlyonce.VerdictUnknown {
				t.Errorf("HTTP/%s, %q: %+v", version, query, outcome)
			}
		}
	}

	http.DefaultClient.CloseIdleConnections()
}

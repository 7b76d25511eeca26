package oncehttp_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// protocols runs a test over HTTP/1.1 and over HTTP/2.
func protocols(t *testing.T, test func(t *testing.T, http2 bool)) {
	t.Helper()
	t.Run("HTTP1", func(t *testing.T) { test(t, false) })
	t.Run("HTTP2", func(t *testing.T) { test(t, true) })
}

func TestF05DuplicateGetsTheRecordedAnswer(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2}, nil)

		before := time.Now().Truncate(time.Second)
		first := w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusCreated)

		for range 3 {
			again := w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusCreated)
			again.equal(first)

			at, err := time.Parse(time.RFC3339, again.header.Get(oncehttp.ExecutedAtHeader))
			if err != nil || at.Before(before) || at.Location() != time.UTC {
				t.Errorf("%s is %q: %v", oncehttp.ExecutedAtHeader, again.header.Get(oncehttp.ExecutedAtHeader), err)
			}
		}

		if first.header.Get(oncehttp.ExecutedAtHeader) != "" || first.header.Get(oncehttp.RetentionHeader) != "" {
			t.Errorf("first answer: %v", first.header)
		}

		w.mustHaveRun(1)
	})
}

func TestRequestsWithoutAKeyRunUnprotected(t *testing.T) {
	w := start(t, setup{}, nil)

	for range 2 {
		w.post("").mustBe("", http.StatusCreated)
	}

	w.mustHaveRun(2)
}

func TestRequiredKey(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{Key: oncehttp.KeyRequired})}, nil)

	p := w.post("").mustReject(http.StatusBadRequest, onlyonce.ReasonKeyMissing)
	if p.Title == "" {
		t.Error("no title")
	}

	w.mustHaveRun(0)

	// Safe methods have no key.
	w.send(w.request(http.MethodGet, "/payments", "", "")).mustBe("", http.StatusCreated)
	w.mustHaveRun(1)
}

func TestIgnoredKey(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{Key: oncehttp.KeyIgnored})}, nil)

	w.post("k").mustBe("", http.StatusCreated)
	w.post("k").mustBe("", http.StatusCreated)
	w.mustHaveRun(2)
}

func TestSafeMethodsPassUnlessTheirRouteHasAKey(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{
		oncehttp.WithRoute("GET /reports", oncehttp.Policy{Key: oncehttp.KeyOptional}),
	}}, nil)

	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
		w.send(w.request(method, "/payments", "k", "")).mustBe("", http.StatusCreated)
	}

	w.mustHaveRun(3)

	w.send(w.request(http.MethodGet, "/reports", "k", "")).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	w.send(w.request(http.MethodGet, "/reports", "k", "")).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	w.mustHaveRun(4)
}

func TestRetentionIsDeclaredWhereItIsNotTheDefault(t *testing.T) {
	w := start(t, setup{
		engine: []onlyonce.Option{onlyonce.WithPolicy(onlyonce.Policy{Retention: time.Hour, ErrorRetention: 10 * time.Minute})},
	}, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			rw.WriteHeader(http.StatusNotFound)
		}
	})

	for path, want := range map[string]string{"/payments": "3600", "/missing": "600"} {
		for range 2 {
			if got := w.send(w.request(http.MethodPost, path, "k"+path, "")).header.Get(oncehttp.RetentionHeader); got != want {
				t.Errorf("%s of %s is %q, want %s", oncehttp.RetentionHeader, path, got, want)
			}
		}
	}

	// Rejections carry it, too.
	if got := w.send(w.request(http.MethodPost, "/payments", "k/payments", "other")).header.Get(oncehttp.RetentionHeader); got != "3600" {
		t.Errorf("%s of a rejection is %q", oncehttp.RetentionHeader, got)
	}
}

func TestTheHandlerRunsInARun(t *testing.T) {
	w := start(t, setup{}, func(_ http.ResponseWriter, r *http.Request) {
		run, ok := onlyonce.RunFromContext(r.Context())
		if !ok || run.Key != "k" || run.Method != "POST /{rest...}" || run.Scope != "shared" {
			t.Errorf("run %+v, %v", run, ok)
		}

		body, err := io.ReadAll(r.Body)
		if string(body) != `{"amount":100}` || err != nil || r.ContentLength != int64(len(body)) {
			t.Errorf("body %q, %v, length %d", body, err, r.ContentLength)
		}

		if r.PathValue("rest") != "payments" || r.Pattern == "" {
			t.Errorf("path value %q, pattern %q", r.PathValue("rest"), r.Pattern)
		}
	})

	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusOK)
}

func TestHandlerCannotSetTheHeadersOfTheContract(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set(oncehttp.StatusHeader, "replayed")
		rw.Header().Set(oncehttp.ReplayedHeader, "true")
		rw.Header().Set(oncehttp.ExecutedAtHeader, "then")
		rw.Header().Set(oncehttp.RetentionHeader, "1")
	})

	a := w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusOK)
	if a.header.Get(oncehttp.ExecutedAtHeader)+a.header.Get(oncehttp.RetentionHeader) != "" {
		t.Errorf("header %v", a.header)
	}
}

package oncehttp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// methodOf sends a request to a handler and returns the method of the run that it gets.
func methodOf(
	t *testing.T, wrap func(func(http.Handler) http.Handler, http.Handler) http.Handler, path string, opts ...oncehttp.Option,
) string {
	t.Helper()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	protect, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(), opts...)
	if err != nil {
		t.Fatal(err)
	}

	method := ""
	h := wrap(protect, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		run, _ := onlyonce.RunFromContext(r.Context())
		method = run.Method
	}))

	r := httptest.NewRequest(http.MethodPost, path, http.NoBody)
	r.Header.Set(oncehttp.KeyHeader, "k")

	h.ServeHTTP(httptest.NewRecorder(), r)

	return method
}

func TestRouteIsFoundInFrontBehindAndByItsPolicy(t *testing.T) {
	type middleware = func(http.Handler) http.Handler

	around := func(protect middleware, h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("POST /orders/{id}", h)

		return protect(mux)
	}
	inside := func(protect middleware, h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("POST /orders/{id}", protect(h))

		return mux
	}
	alone := func(protect middleware, h http.Handler) http.Handler { return protect(h) }
	named := oncehttp.WithRoute("/orders/", oncehttp.Policy{})

	for name, c := range map[string]struct {
		wrap func(middleware, http.Handler) http.Handler
		path string
		opts []oncehttp.Option
		want string
	}{
		"around a mux":        {around, "/orders/1", nil, "POST /orders/{id}"},
		"around, with policy": {around, "/orders/1", []oncehttp.Option{named}, "POST /orders/{id}"},
		"inside a mux":        {inside, "/orders/1", nil, "POST /orders/{id}"},
		"policy alone":        {alone, "/orders/1", []oncehttp.Option{named}, "POST /orders/"},
		"nothing":             {alone, "/orders/1", nil, "POST"},
		"another path":        {alone, "/other", []oncehttp.Option{named}, "POST"},
		"function": {inside, "/orders/1", []oncehttp.Option{oncehttp.WithRouteOf(func(*http.Request) string { return "/own" })},
			"POST /own"},
	} {
		if got := methodOf(t, c.wrap, c.path, c.opts...); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}

	// A path without a handler is not protected.
	if got := methodOf(t, around, "/missing"); got != "" {
		t.Errorf("%q", got)
	}
}

func TestRoutePolicies(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{
		oncehttp.WithPolicy(oncehttp.Policy{Key: oncehttp.KeyRequired}),
		oncehttp.WithRoute("POST /free", oncehttp.Policy{Key: oncehttp.KeyIgnored}),
		oncehttp.WithRoute("/orders/{id}", oncehttp.Policy{Policy: onlyonce.Policy{Retention: time.Hour}}),
		oncehttp.WithRoute("/orders/special", oncehttp.Policy{Policy: onlyonce.Policy{Retention: 2 * time.Hour}}),
	}}, nil)

	w.send(w.request(http.MethodPost, "/free", "k", "")).mustBe("", http.StatusCreated)
	w.send(w.request(http.MethodPost, "/other", "", "")).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyMissing)

	for path, want := range map[string]string{"/orders/1": "3600", "/orders/special": "7200", "/other": ""} {
		if got := w.send(w.request(http.MethodPost, path, "k"+path, "")).header.Get(oncehttp.RetentionHeader); got != want {
			t.Errorf("%s: retention %q, want %q", path, got, want)
		}
	}
}

func TestInvalidOptionsAreReportedAtOnce(t *testing.T) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	_, err = oncehttp.Middleware(engine, oncehttp.ScopeFromHeader("no header"),
		oncehttp.WithPolicy(oncehttp.Policy{Key: 9, MaxRequest: -1, RequestHeaders: []string{"a b"}}),
		oncehttp.WithPolicy(oncehttp.Policy{Classes: map[int]onlyonce.Class{100: onlyonce.ClassDefinite}}),
		oncehttp.WithPolicy(oncehttp.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}}),
		oncehttp.WithRecordedHeaders("Set-Cookie", "connection", "Idempotency-Status", "a b"),
		oncehttp.WithRoute("POST /a/{x", oncehttp.Policy{Key: oncehttp.KeyOptional, MaxRequest: 1}),
	)
	if err == nil {
		t.Fatal("accepted")
	}

	for _, part := range []string{
		"no header", "Key is 9", "MaxRequest is -1", `"a b"`, "makes 100", "EXACTLY_ONCE", "Set-Cookie", "connection", "Idempotency-Status",
	} {
		if !contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}

	if _, err = oncehttp.Middleware(engine, oncehttp.ScopeShared(), oncehttp.WithRoute("POST /a/{x", oncehttp.Policy{})); err == nil {
		t.Error("a bad pattern is accepted")
	}

	if _, err = oncehttp.Middleware(nil, oncehttp.ScopeShared()); err == nil {
		t.Error("no engine is accepted")
	}

	if _, err = oncehttp.Middleware(engine, oncehttp.ScopeFunc(nil)); err == nil {
		t.Error("no scope is accepted")
	}

	shadow := oncehttp.WithPolicy(oncehttp.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}})
	if _, err = oncehttp.Middleware(engine, oncehttp.ScopeShared(), shadow); err == nil {
		t.Error("shadow mode is accepted")
	}
}

func TestMiddlewareThatIsInstalledTwiceIsRefused(t *testing.T) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	protect, err := oncehttp.Middleware(engine, oncehttp.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	r.Header.Set(oncehttp.KeyHeader, "k")

	rec := httptest.NewRecorder()
	protect(protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it ran") }))).ServeHTTP(rec, r)

	if rec.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// A client follows the redirect of a mux with the same key. If the redirect took the key, the request behind it would be another one.
func TestRedirectOfTheRouterLeavesTheKeyUnused(t *testing.T) {
	for name, options := range map[string][]oncehttp.Option{
		"usual": nil, "shared keys": {oncehttp.WithPreset(oncehttp.Stripe())},
		"route of a function": {oncehttp.WithRouteOf(func(*http.Request) string { return "/payments/" })},
	} {
		engine, err := onlyonce.New(memstore.New())
		if err != nil {
			t.Fatal(err)
		}

		protect, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(), options...)
		if err != nil {
			t.Fatal(err)
		}

		runs := 0
		mux := http.NewServeMux()
		mux.HandleFunc("POST /payments/", func(http.ResponseWriter, *http.Request) { runs++ })

		server := httptest.NewServer(protect(mux))
		t.Cleanup(server.Close)

		for i, path := range []string{"/payments", "//payments/", "/payments"} {
			w := &world{t: t, server: server, client: server.Client()}
			said := onlyonce.StatusExecuted

			if i > 0 {
				said = onlyonce.StatusReplayed
			}

			w.send(w.request(http.MethodPost, path, "k", "body")).mustBe(said, http.StatusOK)
		}

		if runs != 1 {
			t.Errorf("%s: the handler ran %d times", name, runs)
		}
	}
}

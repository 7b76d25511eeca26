package oncehttp_test

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// BenchmarkMiddleware is a request through the middleware, without a network.
func BenchmarkMiddleware(b *testing.B) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		b.Fatal(err)
	}

	protect, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(), oncehttp.WithRoute("POST /payments", oncehttp.Policy{}))
	if err != nil {
		b.Fatal(err)
	}

	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)

		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"payment":"pay_1","status":"charged"}`)
	})

	for _, c := range []struct {
		name    string
		handler http.Handler
		key     func(i int) string
	}{
		{"bare", bare, strconv.Itoa},
		{"first", protect(bare), func(i int) string { return "first-" + strconv.Itoa(i) }},
		{"replay", protect(bare), func(int) string { return "replay" }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()

			n := 0
			for b.Loop() {
				n++
				serveSilently(b, c.handler, c.key(n))
			}
		})
	}
}

// serveSilently is one request whose answer goes nowhere.
func serveSilently(b *testing.B, h http.Handler, key string) {
	b.Helper()

	const body = `{"amount":100,"currency":"EUR","order":"4711"}`

	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/payments"}, Host: "localhost", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}, oncehttp.KeyHeader: {key}},
		Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), RequestURI: "/payments",
	}).WithContext(b.Context())

	w := silent{header: make(http.Header)}
	h.ServeHTTP(&w, r)

	if w.status != http.StatusCreated {
		b.Fatal(w.status)
	}
}

type silent struct {
	header http.Header
	status int
}

func (w *silent) Header() http.Header       { return w.header }
func (w *silent) WriteHeader(status int)    { w.status = status }
func (*silent) Write(p []byte) (int, error) { return len(p), nil }

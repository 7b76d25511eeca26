package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// bareHandler is the handler of net/http without a middleware.
const bareHandler = "the bare handler"

// httpAlone measures the middleware for net/http without a network.
func (c *config) httpAlone(ctx context.Context) error {
	const calls = 4_000

	return c.play(ctx, &contest{
		id: "http", question: "net/http middleware against the bare handler and against the least: what does it add?",
		lost: func(of func(string) row) string {
			first, again := of(onlyonceFirst), of(onlyonceReplay)

			return fmt.Sprintf("%s of CPU and %s allocations to a first request, %s and %s to a replay.",
				nanoText(first.adds(bareHandler, cpu)), count(first.adds(bareHandler, allocs)),
				nanoText(again.adds(bareHandler, cpu)), count(again.adds(bareHandler, allocs)))
		},
		about: "The handler reads the body and writes a short answer. The least hashes the body and keeps the body of the answer in a map, " +
			"for ever. Records are in memory, and there is no network.",
		columns: []column{
			more("CPU over the bare handler", bareHandler, moreNanos, cpu),
			more("allocations", bareHandler, moreTenths, allocs),
			more("memory", bareHandler, moreSize, bytes),
			figure("CPU", nanoText, cpu),
		},
		callers: 1, calls: calls, rounds: 3, variants: httpVariants(ctx, calls),
	})
}

// httpVariants are requests to each handler.
func httpVariants(ctx context.Context, calls int) (variants []variant) {
	made := 0

	for _, kind := range []string{firstCall, replay} {
		for _, way := range []string{bareHandler, byLeast, byOnlyonce} {
			start := func() (func(i int) error, error) {
				h, err := httpProtection(way)
				if err != nil {
					return nil, err
				}

				keys := make([]string, calls)
				for i := range keys {
					made++
					keys[i] = newKey(made)
				}

				call := func(i int) error { return serveHTTP(ctx, h, keys[i]) }
				if kind == firstCall {
					return call, nil
				}

				if err := call(0); err != nil {
					return nil, err
				}

				return func(int) error { return call(0) }, nil
			}

			variants = append(variants, variant{way: way, kind: kind, start: start})
		}
	}

	return variants
}

const httpBody = `{"amount":100,"currency":"EUR","order":"4711"}`

// answerPayment is the handler.
func answerPayment(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)

	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"payment":"pay_1","status":"charged"}`)
}

// httpProtection returns the handler behind a protection.
func httpProtection(way string) (http.Handler, error) {
	handler := http.HandlerFunc(answerPayment)

	switch way {
	case byLeast:
		return &leastHTTP{next: handler, kept: make(map[string]leastHTTPAnswer)}, nil
	case byOnlyonce:
		engine, err := onlyonce.New(memstore.New())
		if err != nil {
			return nil, err
		}

		protect, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(), oncehttp.WithRoute("POST /payments", oncehttp.Policy{}))
		if err != nil {
			return nil, err
		}

		return protect(handler), nil
	default:
		return handler, nil
	}
}

var errHTTPAnswer = errors.New("the answer is wrong")

const userAgent = "bench"

// serveHTTP makes one request.
func serveHTTP(ctx context.Context, h http.Handler, key string) error {
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/payments"}, Host: "localhost", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {userAgent}, oncehttp.KeyHeader: {key},
		},
		Body: io.NopCloser(strings.NewReader(httpBody)), ContentLength: int64(len(httpBody)), RequestURI: "/payments",
	}).WithContext(ctx)

	w := silentWriter{header: make(http.Header)}
	h.ServeHTTP(&w, r)

	if w.status != http.StatusCreated || w.written == 0 {
		return errHTTPAnswer
	}

	return nil
}

// silentWriter is an answer that goes nowhere.
type silentWriter struct {
	header          http.Header
	status, written int
}

func (w *silentWriter) Header() http.Header { return w.header }

func (w *silentWriter) WriteHeader(status int) { w.status = status }

func (w *silentWriter) Write(p []byte) (int, error) {
	w.written += len(p)

	return len(p), nil
}

// leastHTTP is the smallest middleware that deduplicates requests. It promises as little as least.
type leastHTTP struct {
	next http.Handler

	mu   sync.Mutex
	kept map[string]leastHTTPAnswer
}

type leastHTTPAnswer struct {
	request [sha256.Size]byte
	status  int
	header  http.Header
	body    []byte
}

func (l *leastHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get(oncehttp.KeyHeader)

	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "no body", http.StatusBadRequest)

		return
	}

	request := sha256.Sum256(body)

	l.mu.Lock()
	answer, known := l.kept[key]

	if !known {
		l.kept[key] = leastHTTPAnswer{request: request}
	}
	l.mu.Unlock()

	switch {
	case known && answer.request != request:
		http.Error(w, "another request", http.StatusUnprocessableEntity)

		return
	case known && answer.status == 0:
		http.Error(w, "in progress", http.StatusConflict)

		return
	case !known:
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		kept := keepingWriter{header: make(http.Header)}
		l.next.ServeHTTP(&kept, r)

		answer = leastHTTPAnswer{request: request, status: kept.status, header: kept.header, body: kept.body}

		l.mu.Lock()
		l.kept[key] = answer
		l.mu.Unlock()
	}

	maps.Copy(w.Header(), answer.header)

	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body)
}

// keepingWriter keeps an answer.
type keepingWriter struct {
	header http.Header
	status int
	body   []byte
}

func (w *keepingWriter) Header() http.Header { return w.header }

func (w *keepingWriter) WriteHeader(status int) { w.status = status }

func (w *keepingWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)

	return len(p), nil
}

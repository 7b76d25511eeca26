package oncehttp_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// setup is a server of a test. Its zero value has a memstore, one scope, HTTP/1.1 and a handler that answers with the number of its run.
type setup struct {
	store   store.Store
	engine  []onlyonce.Option
	scope   oncehttp.Scope
	scoped  bool
	options []oncehttp.Option
	http2   bool
	front   func(http.Handler) http.Handler // in front of the middleware
}

// world is a server with the middleware, and a client.
type world struct {
	t      *testing.T
	engine *onlyonce.Engine
	server *httptest.Server
	client *http.Client
	runs   atomic.Int64
}

// start starts a server. A nil handler answers 201 with the number of its run.
func start(t *testing.T, s setup, handler http.HandlerFunc) *world {
	t.Helper()

	w := &world{t: t}

	if s.store == nil {
		s.store = memstore.New()
	}

	engine, err := onlyonce.New(s.store, append([]onlyonce.Option{patient()}, s.engine...)...)
	if err != nil {
		t.Fatal(err)
	}

	if !s.scoped {
		s.scope = oncehttp.ScopeShared()
	}

	protect, err := oncehttp.Middleware(engine, s.scope, s.options...)
	if err != nil {
		t.Fatal(err)
	}

	if handler == nil {
		handler = func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/plain")
			rw.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(rw, "#"+string(rune('0'+w.runs.Load())))
		}
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/{rest...}", func(rw http.ResponseWriter, r *http.Request) {
		w.runs.Add(1)
		handler(rw, r)
	})

	whole := protect(mux)
	if s.front != nil {
		whole = s.front(whole)
	}

	w.engine = engine
	w.server = httptest.NewUnstartedServer(whole)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)

	if s.http2 {
		w.server.EnableHTTP2 = true
		w.server.StartTLS()
	} else {
		w.server.Start()
	}

	w.client = w.server.Client()
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	t.Cleanup(func() {
		w.server.Close()

		ctx, cancel := context.WithCancel(context.Background())
		cancel()

		_ = engine.Drain(ctx) // abandons the settlements that the store has not acknowledged
	})

	return w
}

// answer is a client's answer.
type answer struct {
	t       *testing.T
	status  int
	header  http.Header
	trailer http.Header
	body    string
	length  int64
}

// request makes a request. The headers are pairs of name and value.
func (w *world) request(method, path, key, body string, headers ...string) *http.Request {
	w.t.Helper()

	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}

	r, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, content)
	if err != nil {
		w.t.Fatal(err)
	}

	if key != "" {
		r.Header.Set(oncehttp.KeyHeader, key)
	}

	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}

	return r
}

// send sends a request and reads its answer.
func (w *world) send(r *http.Request) *answer {
	w.t.Helper()

	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()

	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("reading the answer: %v", err)
	}

	return &answer{w.t, resp.StatusCode, resp.Header, resp.Trailer, string(body), resp.ContentLength}
}

// post makes a payment.
func (w *world) post(key string, headers ...string) *answer {
	w.t.Helper()

	return w.send(w.request(http.MethodPost, "/payments", key, `{"amount":100}`, append(headers, "Content-Type", "application/json")...))
}

func (w *world) mustHaveRun(n int64) {
	w.t.Helper()

	if got := w.runs.Load(); got != n {
		w.t.Errorf("the handler ran %d times, want %d", got, n)
	}
}

// said returns the status of the contract, from header or trailer.
func (a *answer) said() string {
	return cmp.Or(a.header.Get(oncehttp.StatusHeader), a.trailer.Get(oncehttp.StatusHeader))
}

// mustBe checks the status of the contract and the HTTP status.
func (a *answer) mustBe(said onlyonce.Status, status int) *answer {
	a.t.Helper()

	if a.said() != string(said) || a.status != status {
		a.t.Errorf("%d %q; want %d %q; header %v, body %s", a.status, a.said(), status, said, a.header, a.body)
	}

	if replayed := a.header.Get(oncehttp.ReplayedHeader); (replayed == "true") != (said == onlyonce.StatusReplayed) {
		a.t.Errorf("%s is %q and the status %s", oncehttp.ReplayedHeader, replayed, said)
	}

	return a
}

// problem is a body of RFC 9457.
type problem struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Detail       string `json:"detail"`
	Reason       string `json:"reason"`
	First        string `json:"first"`
	OriginalCode string `json:"original_code"`
	Limit        string `json:"limit"`
	Status       int    `json:"status"`
}

// mustBeTooLarge checks the rejection of a body that has more bytes than the limit.
func (a *answer) mustBeTooLarge(limit string) {
	a.t.Helper()

	p := a.mustRejectAs(http.StatusRequestEntityTooLarge, onlyonce.ReasonNotSupported, "request_too_large")
	if p.Limit != limit || !strings.Contains(p.Detail, limit+" bytes") || p.Title != "Request body is too large to be protected" {
		a.t.Errorf("%+v, want the limit %s", p, limit)
	}
}

// mustReject checks a rejection.
func (a *answer) mustReject(status int, reason onlyonce.Reason) problem {
	a.t.Helper()

	return a.mustRejectAs(status, reason, strings.ToLower(string(reason)))
}

// mustRejectAs checks a rejection whose type has a place of its own in the documentation.
func (a *answer) mustRejectAs(status int, reason onlyonce.Reason, anchor string) problem {
	a.t.Helper()

	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		a.t.Errorf("%d %s: %v", a.status, a.body, err)
	}

	said := onlyonce.StatusRejected
	if reason == onlyonce.ReasonOutcomeUnknown {
		said = onlyonce.StatusUnknown
	}

	if a.status != status || p.Status != status || p.Reason != string(reason) || a.said() != string(said) ||
		a.header.Get("Content-Type") != "application/problem+json" || p.Title == "" || p.Detail == "" ||
		!strings.HasSuffix(p.Type, "docs/http.md#"+anchor) {
		a.t.Errorf("%d %q %s, header %v; want %d %s", a.status, a.said(), a.body, a.header, status, reason)
	}

	return p
}

// equal checks that two answers have the same status, body and recorded headers.
func (a *answer) equal(first *answer) {
	a.t.Helper()

	if a.status != first.status || a.body != first.body {
		a.t.Errorf("replayed %d %q, want %d %q", a.status, a.body, first.status, first.body)
	}

	for name, values := range first.header {
		switch name {
		case "Date", oncehttp.StatusHeader, "Set-Cookie":
		default:
			if strings.Join(a.header[name], "|") != strings.Join(values, "|") {
				a.t.Errorf("replayed %s %q, want %q", name, a.header[name], values)
			}
		}
	}
}

// patient gives runs and waits ten minutes, longer than any test.
func patient() onlyonce.Option {
	return onlyonce.WithPolicy(onlyonce.Policy{MaxRun: 10 * time.Minute, MaxWait: 10 * time.Minute, Lease: 10 * time.Minute})
}

func policy(p oncehttp.Policy) []oncehttp.Option { return []oncehttp.Option{oncehttp.WithPolicy(p)} }

var (
	r2020      = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	noDeadline = time.Time{}
)

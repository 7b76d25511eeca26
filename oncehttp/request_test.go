package oncehttp_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

func TestBodyLimit(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2, options: policy(oncehttp.Policy{MaxRequest: 100})}, nil)

		exact, above := strings.Repeat("x", 100), strings.Repeat("x", 101)

		w.send(w.request(http.MethodPost, "/", "k", exact)).mustBe(onlyonce.StatusExecuted, http.StatusCreated)

		for name, body := range map[string]io.Reader{
			"declared": strings.NewReader(above), "unknown length": io.MultiReader(strings.NewReader(above)),
			"much": io.MultiReader(strings.NewReader(strings.Repeat(above, 1000))),
		} {
			r := w.request(http.MethodPost, "/", "other", "")
			r.Body = io.NopCloser(body)
			r.ContentLength = -1

			if name == "declared" {
				r.ContentLength = int64(len(above))
			}

			w.send(r).mustBeTooLarge("100")
		}

		w.mustHaveRun(1)

		// Without a key, the body is not read in advance.
		w.send(w.request(http.MethodPost, "/", "", above)).mustBe("", http.StatusCreated)
	})
}

func TestOuterBodyLimitIsARejectionToo(t *testing.T) {
	w := start(t, setup{front: func(next http.Handler) http.Handler { return http.MaxBytesHandler(next, 10) }}, nil)

	w.send(w.request(http.MethodPost, "/", "k", strings.Repeat("x", 11))).mustBeTooLarge("10")
	w.mustHaveRun(0)
}

func TestBodiesOfUnknownLength(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2}, func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(rw, "%d %d %v %v", len(body), r.ContentLength, r.TransferEncoding, err)
		})

		body := strings.Repeat("chunk ", 5000)
		chunked := w.request(http.MethodPost, "/", "k", "")
		chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader(body)), -1

		first := w.send(chunked).mustBe(onlyonce.StatusExecuted, http.StatusOK)
		if first.body != "30000 30000 [] <nil>" {
			t.Errorf("%q", first.body)
		}

		// The same body with a declared length is the same request.
		w.send(w.request(http.MethodPost, "/", "k", body)).mustBe(onlyonce.StatusReplayed, http.StatusOK).equal(first)
	})
}

func TestTrailersOfTheRequestReachTheHandler(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, r.Trailer.Get("X-Sum"))
	})

	r := w.request(http.MethodPost, "/", "k", "")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("body")), -1
	r.Trailer = http.Header{"X-Sum": {"42"}}

	if a := w.send(r).mustBe(onlyonce.StatusExecuted, http.StatusOK); a.body != "42" {
		t.Errorf("%q", a.body)
	}
}

// raw sends bytes on a new connection, and returns a reader of its answers.
func (w *world) raw(request string) (*bufio.Reader, net.Conn) {
	w.t.Helper()

	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}

	w.t.Cleanup(func() { _ = conn.Close() })

	_, _ = io.WriteString(conn, request)

	return bufio.NewReader(conn), conn
}

func TestExpectContinue(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{MaxRequest: 100})}, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = rw.Write(body)
	})

	const head = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: %d\r\nIdempotency-Key: %s\r\n\r\n"

	in, conn := w.raw(fmt.Sprintf(head, 4, "k"))
	if line, err := in.ReadString('\n'); !strings.Contains(line, "100 Continue") || err != nil {
		t.Fatalf("%q, %v", line, err)
	}

	_, _ = in.ReadString('\n')
	_, _ = io.WriteString(conn, "body")

	if resp, err := http.ReadResponse(in, nil); err != nil || resp.Body.Close() != nil ||
		resp.StatusCode != http.StatusOK || resp.Header.Get(oncehttp.StatusHeader) != "executed" {
		t.Fatalf("%v, %v", resp, err)
	}

	// A rejected request is rejected before its body is sent.
	for key, length := range map[string]int{"two words": 4, "large": 101} {
		in, _ := w.raw(fmt.Sprintf(head, length, key))

		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode < 400 {
			t.Errorf("%s: %v, %v", key, resp, err)

			continue
		}

		_ = resp.Body.Close()
	}

	w.mustHaveRun(1)
}

func TestBodyThatBreaksOffRunsNothing(t *testing.T) {
	w := start(t, setup{}, nil)

	_, conn := w.raw("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\nIdempotency-Key: k\r\n\r\npart")
	half, ok := conn.(*net.TCPConn)
	if !ok || half.CloseWrite() != nil {
		t.Fatal("the connection cannot be closed by half")
	}

	if all, err := io.ReadAll(conn); !strings.HasPrefix(string(all), "HTTP/1.1 400") || err != nil {
		t.Errorf("%q, %v", all, err)
	}

	// Malformed chunks get 400, too.
	in, _ := w.raw("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nIdempotency-Key: k\r\n\r\nzz\r\n")
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v", resp, err)
	}

	w.mustHaveRun(0)
}

func TestF24SameKeyWithAnotherRequest(t *testing.T) {
	w := start(t, setup{}, nil)

	w.send(w.request(http.MethodPost, "/a?x=1", "k", "body", "Content-Type", "text/plain")).mustBe(onlyonce.StatusExecuted, http.StatusCreated)

	for name, r := range map[string]*http.Request{
		"body":             w.request(http.MethodPost, "/a?x=1", "k", "other", "Content-Type", "text/plain"),
		"no body":          w.request(http.MethodPost, "/a?x=1", "k", "", "Content-Type", "text/plain"),
		"path":             w.request(http.MethodPost, "/b?x=1", "k", "body", "Content-Type", "text/plain"),
		"query":            w.request(http.MethodPost, "/a?x=2", "k", "body", "Content-Type", "text/plain"),
		"content type":     w.request(http.MethodPost, "/a?x=1", "k", "body", "Content-Type", "text/html"),
		"content encoding": w.request(http.MethodPost, "/a?x=1", "k", "body", "Content-Type", "text/plain", "Content-Encoding", "gzip"),
	} {
		t.Run(name, func(t *testing.T) {
			if p := w.send(r).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused); p.First != "completed" {
				t.Errorf("first %q", p.First)
			}
		})
	}

	// Headers that do not belong to the request do not matter.
	w.send(w.request(http.MethodPost, "/a?x=1", "k", "body", "Content-Type", "text/plain", "User-Agent", "other", "X-Retry-Attempt", "1")).
		mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	w.mustHaveRun(1)
}

func TestF24WhileTheFirstRequestRuns(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	w := start(t, setup{engine: []onlyonce.Option{patient()}}, func(http.ResponseWriter, *http.Request) {
		close(running)
		<-proceed
	})

	done := make(chan *answer)
	go func() { done <- w.post("k") }()

	<-running

	other := w.send(w.request(http.MethodPost, "/payments", "k", "other"))
	if p := other.mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused); p.First != "running" {
		t.Errorf("first %q", p.First)
	}

	close(proceed)
	(<-done).mustBe(onlyonce.StatusExecuted, http.StatusOK)
}

func TestRequestHeadersOfThePolicy(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{RequestHeaders: []string{"x-version", "X-Version"}})}, nil)

	send := func(key string, headers ...string) *answer {
		return w.send(w.request(http.MethodPost, "/", key, "body", headers...))
	}

	send("k", "X-Version", "1", "Content-Type", "a/b").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	send("k", "X-Version", "1", "Content-Type", "c/d").mustBe(onlyonce.StatusReplayed, http.StatusCreated)

	for _, headers := range [][]string{nil, {"X-Version", "2"}, {"X-Version", "1", "X-Version", "1"}, {"X-Version", ""}} {
		send("k", headers...).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
	}
}

func TestCanonicalBodies(t *testing.T) {
	sorted := func(h http.Header, body []byte) ([]byte, bool) { // a stand-in for RFC 8785
		var v map[string]string
		if h.Get("Content-Type") != "application/json" || json.Unmarshal(body, &v) != nil {
			return nil, false
		}

		same, err := json.Marshal(v)

		return same, err == nil
	}

	w := start(t, setup{options: policy(oncehttp.Policy{Canonical: sorted})}, nil)

	send := func(body string) *answer {
		return w.send(w.request(http.MethodPost, "/", "k"+body[:1], body, "Content-Type", "application/json"))
	}

	send(`{"a":"1","b":"2"}`).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	send(`{ "b" : "2", "a":"1" }`).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	send(`{"a":"2","b":"1"}`).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)

	// A body without a canonical form is compared byte by byte.
	send(`x`).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	send(`x`).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	send(`x `).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
}

func TestCompressedRequestsReachTheHandlerAsTheyAre(t *testing.T) {
	var zipped bytes.Buffer

	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, "payment")
	_ = z.Close()

	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)

			return
		}

		_, _ = io.Copy(rw, unzipped)
	})

	first, _ := both(w, func() *http.Request {
		return w.request(http.MethodPost, "/", "k", zipped.String(), "Content-Encoding", "gzip")
	})
	if first.body != "payment" {
		t.Errorf("%q", first.body)
	}
}

func TestF50HandlerThatChangesItsRequest(t *testing.T) {
	check := func(r *http.Request) error {
		if body, _ := io.ReadAll(r.Body); string(body) != "body" || r.Header.Get("Content-Type") != "text/plain" || r.URL.Path != "/path" {
			return fmt.Errorf("%s %s %v", body, r.URL, r.Header)
		}

		return nil
	}

	for name, options := range map[string][]oncehttp.Option{"alone": nil, "with a check": {oncehttp.WithReplayCheck(check)}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{options: options}, func(_ http.ResponseWriter, r *http.Request) {
				r.Header.Set("Content-Type", "changed")
				r.URL.Path = "/changed"
				r.Method = http.MethodPut
				r.Body = http.NoBody
			})

			request := func() *http.Request {
				return w.request(http.MethodPost, "/path", "k", "body", "Content-Type", "text/plain")
			}

			both(w, request)
			w.send(request()).mustBe(onlyonce.StatusReplayed, http.StatusOK)
		})
	}
}

func TestHostCanBelongToTheRequest(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{RequestHeaders: []string{"Host"}})}, nil)

	send := func(host string) *answer {
		r := w.request(http.MethodPost, "/", "k", "body")
		r.Host = host

		return w.send(r)
	}

	send("a.test").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	send("a.test").mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	send("b.test").mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
}

func TestF24RequestsThatLookAlikeAreDifferent(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{RequestHeaders: []string{"X-A", "X-B"}})}, nil)

	send := func(key, path string, headers ...string) *answer {
		return w.send(w.request(http.MethodPost, path, key, "body", headers...))
	}

	send("path", "/a%2Fb").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	send("path", "/a/b").mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)

	send("header", "/", "X-A", "X-B").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	send("header", "/", "X-B", "X-B").mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
}

// One handler may be mounted in several places, and the key of one place must not answer for another.
func TestF24PathBehindAPrefixBelongsToTheRequest(t *testing.T) {
	w := start(t, setup{front: func(next http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/eu/", http.StripPrefix("/eu", next))
		mux.Handle("/us/", http.StripPrefix("/us", next))

		return mux
	}}, nil)

	send := func(path string) *answer { return w.send(w.request(http.MethodPost, path, "k", "body")) }

	send("/eu/payments").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	send("/eu/payments").mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	send("/us/payments").mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
	w.mustHaveRun(1)

	// A client that takes the server for a proxy sends the whole URL.
	at, err := url.Parse(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}

	transport := &http.Transport{Proxy: http.ProxyURL(at)}
	t.Cleanup(transport.CloseIdleConnections)

	w.client, w.server.URL = &http.Client{Transport: transport}, "http://shop.test"

	send("/eu/payments?").mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	send("/us/payments").mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
	w.mustHaveRun(1)
}

package oncehttp_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

func TestF34OversizedAnswerIsSentAndKeptWithoutItsBody(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		const most = 1000

		w := start(t, setup{http2: http2, options: policy(oncehttp.Policy{Policy: onlyonce.Policy{MaxOutcome: most}})},
			func(rw http.ResponseWriter, r *http.Request) {
				for range map[string]int{"/fits": 9, "/one": 11, "/many": 500}[r.URL.Path] {
					_, _ = io.WriteString(rw, strings.Repeat("x", most/10))
				}
			})

		send := func(path string) *answer { return w.send(w.request(http.MethodPost, path, "k"+path, "")) }

		send("/fits").mustBe(onlyonce.StatusExecuted, http.StatusOK)
		send("/fits").mustBe(onlyonce.StatusReplayed, http.StatusOK)
		w.mustHaveRun(1)

		for i, path := range []string{"/one", "/many"} {
			first := send(path).mustBe(onlyonce.StatusExecuted, http.StatusOK)
			if want := map[string]int{"/one": 1100, "/many": 50_000}[path]; len(first.body) != want {
				t.Errorf("%s: %d bytes, want %d", path, len(first.body), want)
			}

			if first.trailer.Get(oncehttp.StatusHeader) != "executed" {
				t.Errorf("trailer %v", first.trailer)
			}

			for range 2 {
				if p := send(path).mustReject(http.StatusConflict, onlyonce.ReasonOutcomeNotStored); p.OriginalCode != "200" {
					t.Errorf("original code %q", p.OriginalCode)
				}
			}

			w.mustHaveRun(int64(i) + 2)
		}
	})
}

func TestFlushedAnswerArrivesAtOnceAndNeverRunsTwice(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		proceed := make(chan struct{})

		w := start(t, setup{http2: http2, engine: []onlyonce.Option{patient()}}, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(rw, "one ")

			if err := http.NewResponseController(rw).Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}

			<-proceed

			_, _ = io.WriteString(rw, "two")

			rw.Header().Set("X-Sum", "2")
		})

		resp, err := w.client.Do(w.request(http.MethodPost, "/", "k", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()

		buf := make([]byte, 4)
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "one " {
			t.Fatalf("%q, %v", buf, err)
		}

		close(proceed)

		rest, err := io.ReadAll(resp.Body)
		if said := resp.Trailer.Get(oncehttp.StatusHeader); string(rest) != "two" || err != nil || said != "executed" ||
			resp.Trailer.Get("X-Sum") != "2" {
			t.Errorf("%q, %v, trailer %v", rest, err, resp.Trailer)
		}

		w.send(w.request(http.MethodPost, "/", "k", "")).mustReject(http.StatusConflict, onlyonce.ReasonOutcomeNotStored)
		w.mustHaveRun(1)
	})
}

// http.TimeoutHandler cannot flush, so nothing is sent and the answer can be kept.
func TestAnswerIsKeptIfItsFlushIsNotPossible(t *testing.T) {
	front := func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Hour, "late") }

	w := start(t, setup{front: front}, func(rw http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(rw).Flush(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("flush: %v", err)
		}

		rw.WriteHeader(http.StatusCreated)
	})

	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusCreated)
}

func TestHijackedConnectionBelongsToTheHandlerAndNeverRunsTwice(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)

			return
		}
		defer conn.Close()

		_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
		_ = buf.Flush()

		if _, err := io.WriteString(rw, "x"); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("writing: %v", err)
		}
	})

	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: test\r\nIdempotency-Key: k\r\n"+
		"Connection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 0\r\n\r\n")

	all, err := io.ReadAll(bufio.NewReader(conn))
	if !strings.HasSuffix(string(all), "hello") || err != nil {
		t.Errorf("%q, %v", all, err)
	}

	w.send(w.request(http.MethodPost, "/", "k", "")).mustReject(http.StatusConflict, onlyonce.ReasonOutcomeNotStored)
	w.mustHaveRun(1)
}

func TestMarkOfAHandlerThatHijacksHolds(t *testing.T) {
	ended := make(chan struct{}, 2)
	front := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(rw, r)

			ended <- struct{}{}
		})
	}

	w := start(t, setup{front: front}, func(rw http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)

			return
		}

		oncehttp.NotExecuted(r.Context())
		_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_ = conn.Close()
	})

	for range 2 {
		w.post("k").mustBe("", http.StatusServiceUnavailable)
		<-ended
	}

	w.mustHaveRun(2)
}

func TestHijackFailsOverHTTP2AndTheAnswerIsRecorded(t *testing.T) {
	w := start(t, setup{http2: true}, func(rw http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(rw).Hijack(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("hijack: %v", err)
		}

		rw.WriteHeader(http.StatusUpgradeRequired)
	})

	both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") })
}

func TestGoroutineOfTheHandlerCannotChangeItsAnswer(t *testing.T) {
	late := make(chan http.ResponseWriter, 1)
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "ok")
		late <- rw
	})

	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusOK)

	rw := <-late
	rw.WriteHeader(http.StatusTeapot)

	if _, err := io.WriteString(rw, "more"); err == nil {
		t.Error("a write after the end was accepted")
	}

	if err := http.NewResponseController(rw).Flush(); err == nil {
		t.Error("a flush after the end was accepted")
	}

	if _, _, err := http.NewResponseController(rw).Hijack(); err == nil {
		t.Error("a hijack after the end was accepted")
	}

	// The connection may have the next request.
	if late := http.NewResponseController(rw); late.SetReadDeadline(noDeadline) == nil || late.SetWriteDeadline(noDeadline) == nil {
		t.Error("a deadline after the end was accepted")
	}
}

func TestStreamGoesOnWhenItsClientLeaves(t *testing.T) {
	gone, ended := make(chan struct{}), make(chan error, 1)

	w := start(t, setup{engine: []onlyonce.Option{patient()}}, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, "one")
		_ = http.NewResponseController(rw).Flush()

		<-gone

		var failed error
		for range 1000 { // until the broken connection shows
			if _, err := rw.Write(make([]byte, 10_000)); err != nil {
				failed = err
			}
		}

		ended <- errors.Join(failed, r.Context().Err())
	})

	resp, err := w.client.Do(w.request(http.MethodPost, "/", "k", ""))
	if err != nil {
		t.Fatal(err)
	}

	_ = resp.Body.Close()
	w.client.CloseIdleConnections()
	close(gone)

	if err := <-ended; err != nil {
		t.Errorf("the handler saw %v", err)
	}

	w.send(w.request(http.MethodPost, "/", "k", "")).mustReject(http.StatusConflict, onlyonce.ReasonOutcomeNotStored)
	w.mustHaveRun(1)
}

func TestFlushedAnswerHasOnlyTheMiddlewaresTrailersOfTheContract(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2}, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Add("Trailer", "Idempotency-Status, X-Sum")
			rw.Header().Add("Trailer", "idempotent-replayed")
			rw.Header().Set(http.TrailerPrefix+oncehttp.StatusHeader, "released")
			rw.Header().Set(http.TrailerPrefix+"X-Late", "2")
			_ = http.NewResponseController(rw).Flush()

			rw.Header().Set("X-Sum", "1")
			rw.Header().Set(oncehttp.StatusHeader, "replayed")
			rw.Header().Set(oncehttp.ReplayedHeader, "true")
		})

		a := w.send(w.request(http.MethodPost, "/", "k", ""))
		if got := a.trailer; len(got) != 3 || strings.Join(got[oncehttp.StatusHeader], "|") != "executed" || got.Get("X-Sum") != "1" ||
			got.Get("X-Late") != "2" {
			t.Errorf("trailer %v, header %v", got, a.header)
		}
	})
}

// Libraries for WebSockets write the status and then take the connection.
func TestStatusThatIsWrittenBeforeAHijackIsSent(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Connection", "Upgrade")
		rw.Header().Set("Upgrade", "echo")
		rw.WriteHeader(http.StatusSwitchingProtocols)

		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)

			return
		}
		defer conn.Close()

		_, _ = io.WriteString(conn, "hello")
	})

	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: test\r\nIdempotency-Key: k\r\n"+
		"Connection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 0\r\n\r\n")

	all, err := io.ReadAll(conn)
	if text := string(all); !strings.HasPrefix(text, "HTTP/1.1 101 ") || !strings.Contains(text, "Upgrade: echo\r\n") ||
		!strings.HasSuffix(text, "\r\n\r\nhello") || strings.Contains(text, "Trailer") || err != nil {
		t.Errorf("%q, %v", all, err)
	}

	w.send(w.request(http.MethodPost, "/", "k", "")).mustReject(http.StatusConflict, onlyonce.ReasonOutcomeNotStored)
	w.mustHaveRun(1)
}

// TestAnswersOfAReverseProxyAreKeptIfItCannotFlush has the advice of docs/http.md. A ReverseProxy flushes answers of unknown length.
func TestAnswersOfAReverseProxyAreKeptIfItCannotFlush(t *testing.T) {
	t.Parallel()

	behind := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Trailer", "ETag")
		_, _ = io.WriteString(rw, strings.Repeat("x", 5000))
		rw.Header().Set("ETag", "last")
	}))
	t.Cleanup(behind.Close)

	to, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}

	proxy := httputil.NewSingleHostReverseProxy(to)

	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(struct{ http.ResponseWriter }{rw}, r)
	})

	first, again := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "proxied", "") })
	first.mustBe(onlyonce.StatusExecuted, http.StatusOK)
	again.mustBe(onlyonce.StatusReplayed, http.StatusOK).equal(first)

	if again.trailer.Get("ETag") != "last" {
		t.Errorf("the trailers are %v, want Etag", again.trailer)
	}
}

// Trailers take the place of the Content-Length, so only a broken connection shows that the answer is not whole.
func TestStreamedAnswerThatIsShorterThanItsLengthBreaksTheConnection(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		for name, flush := range map[string]func(http.ResponseWriter){
			"flushed": func(rw http.ResponseWriter) { _ = http.NewResponseController(rw).Flush() }, "large": func(http.ResponseWriter) {},
		} {
			t.Run(name, func(t *testing.T) {
				most := oncehttp.Policy{Policy: onlyonce.Policy{MaxOutcome: 2}}

				w := start(t, setup{http2: http2, options: policy(most)}, func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Content-Length", "4")
					_, _ = io.WriteString(rw, "abc")

					flush(rw)
				})

				if resp, err := w.client.Do(w.request(http.MethodPost, "/", "k", "")); err == nil {
					if body, err := io.ReadAll(resp.Body); err == nil {
						t.Errorf("the client takes %q for the whole answer", body)
					}

					_ = resp.Body.Close()
				}

				w.send(w.request(http.MethodPost, "/", "k", "")).mustReject(http.StatusConflict, onlyonce.ReasonOutcomeUnknown)
				w.mustHaveRun(1)
			})
		}
	})
}

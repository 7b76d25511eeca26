package oncehttp_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// both sends a request twice, checks that the second answer replays the first, and returns both.
func both(w *world, request func() *http.Request) (first, again *answer) {
	w.t.Helper()

	before := w.runs.Load()

	first = w.send(request())
	again = w.send(request())

	first.mustBe(onlyonce.StatusExecuted, first.status)
	again.mustBe(onlyonce.StatusReplayed, first.status)
	again.equal(first)
	w.mustHaveRun(before + 1)

	return first, again
}

func TestEveryDefiniteStatusIsReplayed(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2}, func(rw http.ResponseWriter, r *http.Request) {
			status, _ := strconv.Atoi(r.URL.Query().Get("status"))
			rw.Header().Set("Location", "/payments/1")
			rw.WriteHeader(status)
			fmt.Fprintf(rw, "answer %d", status)
		})

		for status := 200; status < 500; status++ {
			switch status {
			case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
				continue
			}

			first, _ := both(w, func() *http.Request {
				return w.request(http.MethodPost, fmt.Sprintf("/payments?status=%d", status), fmt.Sprint("k", status), "{}")
			})

			if want := fmt.Sprint("answer ", status); first.status != status ||
				first.body != want && status != http.StatusNoContent && status != http.StatusNotModified {
				t.Errorf("%d %q; want %d", first.status, first.body, status)
			}
		}
	})
}

func TestAmbiguousStatusesAreHeldUnderAtMostOnce(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.Query().Get("status"))
		rw.WriteHeader(status)
	})

	for i, status := range []int{408, 409, 425, 429, 500, 502, 503, 504, 599} {
		request := func() *http.Request {
			return w.request(http.MethodPost, fmt.Sprintf("/payments?status=%d", status), fmt.Sprint("k", status), "{}")
		}

		w.send(request()).mustBe(onlyonce.StatusUnknown, status)

		again := w.send(request())
		if p := again.mustReject(http.StatusConflict, onlyonce.ReasonOutcomeUnknown); p.OriginalCode != strconv.Itoa(status) {
			t.Errorf("original code %q, want %d", p.OriginalCode, status)
		}

		if after, err := strconv.Atoi(again.header.Get("Retry-After")); err != nil || after < 30 || after > 90 {
			t.Errorf("Retry-After %q", again.header.Get("Retry-After"))
		}

		w.mustHaveRun(int64(i) + 1)
	}
}

func TestAmbiguousStatusesAreReleasedUnderAtLeastOnce(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}})},
		func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })

	w.post("k").mustBe(onlyonce.StatusUnknown, http.StatusServiceUnavailable)
	w.post("k").mustBe(onlyonce.StatusUnknown, http.StatusServiceUnavailable)
	w.mustHaveRun(2)
}

func TestMarkOfTheHandlerDecidesTheStatus(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/final":
			oncehttp.Final(r.Context())
			rw.WriteHeader(http.StatusServiceUnavailable)
		case "/nothing":
			oncehttp.Final(r.Context())
			oncehttp.NotExecuted(r.Context()) // the later one counts
			rw.WriteHeader(http.StatusTooManyRequests)
		}
	})

	send := func(path string) *answer { return w.send(w.request(http.MethodPost, path, "k"+path, "")) }

	send("/final").mustBe(onlyonce.StatusExecuted, http.StatusServiceUnavailable)
	send("/final").mustBe(onlyonce.StatusReplayed, http.StatusServiceUnavailable)
	w.mustHaveRun(1)

	send("/nothing").mustBe(onlyonce.StatusReleased, http.StatusTooManyRequests)
	send("/nothing").mustBe(onlyonce.StatusReleased, http.StatusTooManyRequests)
	w.mustHaveRun(3)

	// Outside of a run nothing happens.
	oncehttp.Final(t.Context())
	oncehttp.NotExecuted(t.Context())
	oncehttp.KeepWrites(t.Context())
}

func TestClassesOfThePolicy(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{Classes: map[int]onlyonce.Class{
		http.StatusConflict: onlyonce.ClassDefinite, http.StatusServiceUnavailable: onlyonce.ClassNotExecuted,
		http.StatusNotFound: onlyonce.ClassAmbiguous,
	}})}, func(rw http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.Query().Get("status"))
		rw.WriteHeader(status)
	})

	for status, said := range map[int]onlyonce.Status{
		http.StatusConflict: onlyonce.StatusExecuted, http.StatusServiceUnavailable: onlyonce.StatusReleased,
		http.StatusNotFound: onlyonce.StatusUnknown, http.StatusGone: onlyonce.StatusExecuted,
	} {
		w.send(w.request(http.MethodPost, fmt.Sprintf("/payments?status=%d", status), fmt.Sprint("k", status), "")).mustBe(said, status)
	}
}

func TestF51HandlerThatWritesNothingAnswers200(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2}, func(http.ResponseWriter, *http.Request) {})

		first, _ := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") })
		if first.status != http.StatusOK || first.body != "" || first.length != 0 {
			t.Errorf("%d %q, length %d", first.status, first.body, first.length)
		}
	})
}

func TestImplicit200(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "<html>")
		rw.WriteHeader(http.StatusTeapot) // too late
	})

	first, _ := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") })
	if first.status != http.StatusOK || !strings.HasPrefix(first.header.Get("Content-Type"), "text/html") {
		t.Errorf("%d, %v", first.status, first.header)
	}
}

func TestContentTypeThatIsSwitchedOff(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header()["Content-Type"] = nil
		_, _ = io.WriteString(rw, "<html>")
	})

	first, again := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") })
	if _, has := first.header["Content-Type"]; has {
		t.Errorf("first %v", first.header)
	}

	if _, has := again.header["Content-Type"]; has {
		t.Errorf("again %v", again.header)
	}
}

func TestNoContentAndNotModifiedHaveNoBody(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("ETag", `"1"`)
			rw.WriteHeader(status)

			if _, err := io.WriteString(rw, "x"); err != http.ErrBodyNotAllowed { //nolint:errorlint // as net/http returns it
				t.Errorf("writing a body: %v", err)
			}

			if err := http.NewResponseController(rw).Flush(); err != nil { // nothing is left to be sent early
				t.Errorf("flush: %v", err)
			}
		})

		first, again := both(w, func() *http.Request { return w.request(http.MethodPut, "/", "k", "") })
		if first.body+again.body != "" || again.header.Get("ETag") != `"1"` || again.header.Get("Content-Length") != "" {
			t.Errorf("%d: %q, %v", status, again.body, again.header)
		}
	}
}

// The length is that of the body that the client has. HTTP/1.1 of net/http leaves it out.
func TestNotModifiedIsReplayedWithItsLength(t *testing.T) {
	w := start(t, setup{http2: true}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", "7")
		rw.WriteHeader(http.StatusNotModified)
	})

	for range 2 {
		resp, err := w.client.Do(w.request(http.MethodPut, "/", "k", ""))
		if err != nil {
			t.Fatal(err)
		}

		_ = resp.Body.Close()

		if got := resp.Header.Get("Content-Length"); got != "7" || resp.StatusCode != http.StatusNotModified {
			t.Errorf("%d with length %q", resp.StatusCode, got)
		}
	}

	w.mustHaveRun(1)
}

func TestRedirectsAreReplayed(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "/payments/1", http.StatusSeeOther)
	})

	first, _ := both(w, func() *http.Request { return w.request(http.MethodPost, "/payments", "k", "{}") })
	if first.header.Get("Location") != "/payments/1" || first.status != http.StatusSeeOther {
		t.Errorf("%d %v", first.status, first.header)
	}
}

func TestHeadIsReplayedWithTheLengthOfItsBody(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2, options: []oncehttp.Option{
			oncehttp.WithRoute("GET /report", oncehttp.Policy{Key: oncehttp.KeyOptional}),
			oncehttp.WithRoute("GET /large", oncehttp.Policy{Key: oncehttp.KeyOptional}),
		}}, func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				rw.Header().Set("Content-Length", "1000000")

				return
			}

			_, _ = io.WriteString(rw, "<html>twelve")

			if err := http.NewResponseController(rw).Flush(); err != nil { // nothing is left to be sent early
				t.Errorf("flush: %v", err)
			}
		})

		for path, want := range map[string]int64{"/report": 12, "/large": 1_000_000} {
			first, again := both(w, func() *http.Request { return w.request(http.MethodHead, path, "k"+path, "") })
			if first.length != want || again.length != want || first.body+again.body != "" {
				t.Errorf("%s: length %d and %d, want %d", path, first.length, again.length, want)
			}
		}

		// The same key on GET is another request.
		w.send(w.request(http.MethodGet, "/report", "k/report", "")).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	})
}

func TestRangesAreReplayedAsTheyWere(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		http.ServeContent(rw, r, "report.txt", r2020, strings.NewReader("0123456789"))
	})

	first, _ := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "", "Range", "bytes=2-5") })
	if first.status != http.StatusPartialContent || first.body != "2345" || first.header.Get("Content-Range") != "bytes 2-5/10" {
		t.Errorf("%d %q %v", first.status, first.body, first.header)
	}
}

func TestCompressedAnswersAreReplayedByteForByte(t *testing.T) {
	var zipped bytes.Buffer

	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, strings.Repeat("answer ", 1000))
	_ = z.Close()

	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Encoding", "gzip")
		rw.Header().Set("Vary", "Accept-Encoding")
		_, _ = rw.Write(zipped.Bytes())
	})

	first, again := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "", "Accept-Encoding", "gzip") })
	if first.body != zipped.String() || again.header.Get("Content-Encoding") != "gzip" || again.header.Get("Vary") == "" {
		t.Errorf("%v", again.header)
	}
}

func TestOnlyDescriptiveHeadersAreReplayed(t *testing.T) {
	w := start(t, setup{
		options: []oncehttp.Option{oncehttp.WithRecordedHeaders("x-order")},
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("X-Request-ID", r.Header.Get("X-Attempt"))
				next.ServeHTTP(rw, r)
			})
		},
	}, func(rw http.ResponseWriter, _ *http.Request) {
		h := rw.Header()
		http.SetCookie(rw, &http.Cookie{Name: "session", Value: "secret"})
		h.Set("WWW-Authenticate", "Basic")
		h.Set("Authorization", "Bearer secret")
		h.Set("X-Internal", "1")
		h.Set("X-Order", "4711")
		h["Link"] = []string{"</a>; rel=next", "</b>; rel=prev"}
		h.Set("Retry-After", "7")
		_, _ = io.WriteString(rw, "ok")
	})

	first := w.post("k", "X-Attempt", "1").mustBe(onlyonce.StatusExecuted, http.StatusOK)
	again := w.post("k", "X-Attempt", "2").mustBe(onlyonce.StatusReplayed, http.StatusOK)

	for _, name := range []string{"Set-Cookie", "WWW-Authenticate", "Authorization", "X-Internal"} {
		if first.header.Get(name) == "" || again.header.Get(name) != "" {
			t.Errorf("%s: first %q, replayed %q", name, first.header.Values(name), again.header.Values(name))
		}
	}

	if again.header.Get("X-Order") != "4711" || len(again.header["Link"]) != 2 || again.header.Get("Retry-After") != "7" {
		t.Errorf("replayed %v", again.header)
	}

	if first.header.Get("X-Request-ID") != "1" || again.header.Get("X-Request-ID") != "2" {
		t.Errorf("the header of a middleware in front: first %q, replayed %q",
			first.header.Values("X-Request-ID"), again.header.Values("X-Request-ID"))
	}
}

func TestTrailersAreReplayed(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2, options: []oncehttp.Option{oncehttp.WithRecordedHeaders("X-Sum", "X-Late")}},
			func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Trailer", "X-Sum, X-Private")
				_, _ = io.WriteString(rw, "body")
				rw.Header().Set("X-Sum", "42")
				rw.Header().Set("X-Private", "p")
				rw.Header().Set(http.TrailerPrefix+"X-Late", "late")
			})

		first, again := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") })
		if first.trailer.Get("X-Sum") != "42" || first.trailer.Get("X-Private") != "p" || first.trailer.Get("X-Late") != "late" {
			t.Errorf("first trailers %v", first.trailer)
		}

		if again.trailer.Get("X-Sum") != "42" || again.trailer.Get("X-Private") != "" || again.trailer.Get("X-Late") != "late" ||
			again.body != "body" {
			t.Errorf("replayed trailers %v, body %q", again.trailer, again.body)
		}
	})
}

func TestTrailersOfAMiddlewareInFrontAreSent(t *testing.T) {
	t.Parallel()

	front := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Trailer", "Server-Timing")
			next.ServeHTTP(rw, r)
			rw.Header().Set("Server-Timing", "all;dur=1")
		})
	}

	for _, http2 := range []bool{false, true} {
		w := start(t, setup{front: front, http2: http2}, nil)

		for _, said := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
			if got := w.post("timed").mustBe(said, http.StatusCreated); got.trailer.Get("Server-Timing") != "all;dur=1" {
				t.Errorf("HTTP/2 %v, %s: the trailers are %v, want Server-Timing", http2, said, got.trailer)
			}
		}

		if got := w.post("not valid"); got.status != http.StatusBadRequest || got.trailer.Get("Server-Timing") != "all;dur=1" {
			t.Errorf("HTTP/2 %v: a rejection has the status %d and the trailers %v, want 400 and Server-Timing", http2, got.status, got.trailer)
		}
	}
}

func TestInformationalAnswersAreSentAtOnceAndNotReplayed(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2}, func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusContinue) // net/http sends it, because the body is read
			rw.Header().Set("Link", "</style.css>; rel=preload")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
			rw.WriteHeader(http.StatusAccepted)
		})

		hints := func() (n int, link string, a *answer) {
			r := w.request(http.MethodPost, "/", "k", "")
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
					n, link = n+1, header.Get("Link")

					return nil
				},
			}))
			a = w.send(r)

			return n, link, a
		}

		if n, link, a := hints(); n != 1 || link == "" || a.mustBe(onlyonce.StatusExecuted, http.StatusAccepted).header.Get("Link") != "" {
			t.Errorf("first: %d hints, link %q, %v", n, link, a.header)
		}

		if n, _, a := hints(); n != 0 {
			t.Errorf("replayed: %d hints, %v", n, a.mustBe(onlyonce.StatusReplayed, http.StatusAccepted).header)
		}
	})
}

func TestAnswerThatIsShorterThanItsLengthIsAmbiguous(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		oncehttp.Final(r.Context()) // it cannot be the whole answer

		rw.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(rw, "short")
	})

	if resp, err := w.client.Do(w.request(http.MethodPost, "/", "k", "")); err == nil {
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("the client got a whole answer")
		}

		_ = resp.Body.Close()
	}

	w.send(w.request(http.MethodPost, "/", "k", "")).mustReject(http.StatusConflict, onlyonce.ReasonOutcomeUnknown)
	w.mustHaveRun(1)
}

func TestAnswerLongerThanItsLengthIsCut(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(rw, "four")

		if _, err := io.WriteString(rw, "more"); err != http.ErrContentLength { //nolint:errorlint // as net/http returns it
			t.Errorf("writing more: %v", err)
		}
	})

	first, _ := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") })
	if first.body != "four" {
		t.Errorf("%q", first.body)
	}
}

func TestWriterOfTheHandlerIsComplete(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		control := http.NewResponseController(rw)

		for name, err := range map[string]error{
			"SetReadDeadline":  control.SetReadDeadline(noDeadline),
			"SetWriteDeadline": control.SetWriteDeadline(noDeadline),
			"EnableFullDuplex": control.EnableFullDuplex(),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}

		if leaves, ok := rw.(interface{ CloseNotify() <-chan bool }); !ok { // Context.Stream of gin panics without it
			t.Error("there is no CloseNotify")
		} else if leaves.CloseNotify() == nil {
			t.Error("CloseNotify has no channel")
		}

		out := bufio.NewWriter(rw)
		_, _ = io.Copy(out, strings.NewReader("copied"))
		_ = out.Flush()
		_, _ = io.WriteString(rw, ", written")
	})

	if first, _ := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") }); first.body != "copied, written" {
		t.Errorf("%q", first.body)
	}
}

package oncehttp_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// old sends a request over HTTP/1.0, as nginx does by default, and reads its answer. The error is that of the body.
func (w *world) old(path, key string) (*answer, error) {
	w.t.Helper()

	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()

	if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.0\r\nIdempotency-Key: "+key+"\r\nContent-Length: 0\r\n\r\n"); err != nil {
		w.t.Fatal(err)
	}

	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()

	body, err := io.ReadAll(resp.Body)

	return &answer{w.t, resp.StatusCode, resp.Header, resp.Trailer, string(body), resp.ContentLength}, err
}

// HTTP/1.0 has no trailers and no chunks. Only Content-Length shows whether an answer is whole.
func TestAnswerOverHTTP10KeepsItsLength(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "4")
		rw.Header().Set("Trailer", "Digest")
		_, _ = io.WriteString(rw, "ab")

		if r.URL.Path != "/collected" {
			_ = http.NewResponseController(rw).Flush()
		}

		if r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler)
		}

		_, _ = io.WriteString(rw, "cd")
		rw.Header().Set("Digest", "sum")
	})

	for _, path := range []string{"/streamed", "/collected"} {
		if a, err := w.old(path, path); err != nil || a.length != 4 || a.body != "abcd" {
			t.Errorf("%s: %d %q, %v", path, a.length, a.body, err)
		}
	}

	again, err := w.old("/collected", "/collected")
	again.mustBe(onlyonce.StatusReplayed, http.StatusOK)

	if err != nil || again.length != 4 || again.body != "abcd" {
		t.Errorf("replayed: %d %q, %v", again.length, again.body, err)
	}

	if a, err := w.old("/broken", "/broken"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an answer that is cut off arrived as %q, %v", a.body, err)
	}

	w.mustHaveRun(3)
}

// A proxy that speaks HTTP/1.0 to the server passes on the declaration of a trailer that does not come.
func TestAnswerThatHasLostItsTrailerIsUnknown(t *testing.T) {
	w, _ := scripted(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Trailer", oncehttp.StatusHeader)
		rw.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(rw, "body")
	})

	if a, outcome, err := w.pay(w.through()); err != nil || a.body != "body" || outcome.Verdict != onlyonce.VerdictUnknown {
		t.Errorf("%+v, %v", outcome, err)
	}
}

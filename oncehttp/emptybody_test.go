package oncehttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// An empty body is the same request in every form that the wire has for it.
func TestEmptyBodiesAreTheSameRequest(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2}, func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(rw, "%d %d %v %v %v", len(body), r.ContentLength, r.TransferEncoding, err, r.Body == http.NoBody)
		})

		unknown := func() *http.Request {
			r := w.request(http.MethodPost, "/", "k", "")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("")), -1

			return r
		}

		first := w.send(unknown()).mustBe(onlyonce.StatusExecuted, http.StatusOK)
		if first.body != "0 0 [] <nil> true" {
			t.Errorf("the handler sees %q", first.body)
		}

		none := w.request(http.MethodPost, "/", "k", "")
		none.Body = nil

		for _, r := range []*http.Request{unknown(), none, w.request(http.MethodPost, "/", "k", "")} {
			w.send(r).mustBe(onlyonce.StatusReplayed, http.StatusOK).equal(first)
		}

		w.mustHaveRun(1)
	})

	w := start(t, setup{}, nil)

	for i, head := range []string{"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length: 0\r\n\r\n", "\r\n"} {
		in, _ := w.raw("POST / HTTP/1.1\r\nHost: test\r\nIdempotency-Key: k\r\n" + head)

		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}

		_ = resp.Body.Close()

		if said := resp.Header.Get(oncehttp.StatusHeader); said != "executed" && i == 0 || said != "replayed" && i > 0 {
			t.Errorf("%q is %s", head, said)
		}
	}

	w.mustHaveRun(1)
}

// A request without a body must have none on the wire, too: some servers refuse chunks.
func TestClientSendsAnEmptyBodyWithoutChunks(t *testing.T) {
	var (
		mu   sync.Mutex
		seen [][]string // the transfer codings of the requests
	)

	note := func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()

		seen = append(seen, r.TransferEncoding)

		rejects(409, onlyonce.ReasonInProgress, "0")(rw, r)
	}

	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet} {
		for name, body := range map[string]io.Reader{"nil": nil, "NoBody": http.NoBody, "an empty reader": strings.NewReader("")} {
			t.Run(method+" "+name, func(t *testing.T) {
				seen = nil

				w, s := scripted(t, note, again(note), says(200, onlyonce.StatusReplayed))

				r, err := http.NewRequestWithContext(t.Context(), method, w.server.URL, body)
				if err != nil {
					t.Fatal(err)
				}

				r.Header.Set(oncehttp.KeyHeader, "k")

				resp, err := w.through().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()

				s.one(t, 3)

				for _, coding := range seen {
					if len(coding) > 0 {
						t.Errorf("the body is sent with %q", coding)
					}
				}
			})
		}
	}
}

// A body that can be sent once is retried if it turns out to be empty.
func TestClientRetriesABodyOfUnknownLengthThatIsEmpty(t *testing.T) {
	for name, c := range map[string]struct {
		body     io.Reader
		attempts int
	}{
		"empty": {io.MultiReader(), 3},
		"not":   {io.MultiReader(strings.NewReader("body")), 1},
	} {
		t.Run(name, func(t *testing.T) {
			busy := rejects(409, onlyonce.ReasonInProgress, "0")
			w, s := scripted(t, busy, again(busy), says(200, onlyonce.StatusReplayed))

			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL, c.body)
			if err != nil {
				t.Fatal(err)
			}

			resp, err := w.through().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()

			if outcome := oncehttp.OutcomeOf(resp, nil); outcome.Attempts != c.attempts {
				t.Errorf("%+v, want %d attempts", outcome, c.attempts)
			}

			s.one(t, c.attempts)
		})
	}
}

// The caller has declared a length, or its reader fails. Without the body, it would be another request.
func TestClientDoesNotReplaceABodyThatIsMissingByAnEmptyOne(t *testing.T) {
	for name, c := range map[string]struct {
		body   io.Reader
		length int64
	}{
		"a length is declared":        {io.MultiReader(), 4},
		"the reader fails at its end": {iotest.ErrReader(fmt.Errorf("reading the file: %w", io.EOF)), -1},
	} {
		t.Run(name, func(t *testing.T) {
			attempts := 0

			transport, err := oncehttp.NewTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
				attempts++

				if n, err := io.Copy(io.Discard, r.Body); n != r.ContentLength {
					return nil, fmt.Errorf("%d bytes of %d were written: %w", n, r.ContentLength, errors.Join(err, io.ErrUnexpectedEOF))
				}

				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}), always(), oncehttp.WithRetry(retry.Policy{BaseDelay: 1}))
			if err != nil {
				t.Fatal(err)
			}

			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.test/", c.body)
			if err != nil {
				t.Fatal(err)
			}

			r.ContentLength = c.length

			resp, err := (&http.Client{Transport: transport}).Do(r)
			if err == nil {
				_ = resp.Body.Close()

				t.Error("the server has got a request without its body")
			}

			if attempts != 1 {
				t.Errorf("%d attempts, want 1", attempts)
			}
		})
	}
}

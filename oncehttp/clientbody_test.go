package oncehttp_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// stalled is a body that never arrives.
type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()

	return 0, s.ctx.Err()
}

func (stalled) Close() error { return nil }

// stalls answers the first attempt with a body that never arrives, and the second with 201.
func stalls(status int, media string) (base roundTripper, attempts *int) {
	attempts = new(int)

	return func(r *http.Request) (*http.Response, error) {
		*attempts++

		resp := &http.Response{
			StatusCode: status, Header: http.Header{oncehttp.StatusHeader: {"rejected"}, "Content-Type": {media}}, Body: stalled{r.Context()},
		}
		if *attempts > 1 {
			resp.StatusCode, resp.Body = http.StatusCreated, io.NopCloser(strings.NewReader("whole"))
			resp.Header.Set(oncehttp.StatusHeader, "executed")
		}

		return resp, nil
	}, attempts
}

func TestBodyThatNeverComesDoesNotHoldUpTheNextAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		media  string
		policy retry.Policy
	}{
		"the rest of an answer that is retried": {http.StatusServiceUnavailable, "text/html", retry.Policy{}},
		"a problem": {
			http.StatusUnprocessableEntity, "application/problem+json", retry.Policy{AttemptTimeout: time.Minute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base, attempts := stalls(c.status, c.media)

				transport, err := oncehttp.NewTransport(base, always(), oncehttp.WithRetry(c.policy))
				if err != nil {
					t.Fatal(err)
				}

				resp, err := (&http.Client{Transport: transport}).Post("http://shop.test/", "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()

				if body, err := io.ReadAll(resp.Body); string(body) != "whole" || err != nil || *attempts != 2 ||
					resp.StatusCode != http.StatusCreated {
					t.Errorf("%d %q, %v after %d attempts", resp.StatusCode, body, err, *attempts)
				}
			})
		})
	}
}

func TestSwitchedProtocolCanBeWrittenTo(t *testing.T) {
	for name, opts := range map[string][]oncehttp.ClientOption{
		"usual": nil, "with a journal": {oncehttp.WithJournal((&keptRequests{}).journal(t))},
	} {
		t.Run(name, func(t *testing.T) {
			var sent strings.Builder

			base := roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusSwitchingProtocols, ContentLength: -1, Body: struct {
					io.ReadCloser
					io.Writer
				}{http.NoBody, &sent}}, nil
			})

			transport, err := oncehttp.NewTransport(base, opts...)
			if err != nil {
				t.Fatal(err)
			}

			// The request has no header map, which http.Client would add.
			r := (&http.Request{Method: http.MethodPost, URL: mustParse(t, "http://shop.test/")}).WithContext(t.Context())

			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()

			if w, ok := resp.Body.(io.Writer); !ok {
				t.Error("the body cannot be written to")
			} else if _, err := io.WriteString(w, "hello"); err != nil || sent.String() != "hello" {
				t.Errorf("%q, %v", sent.String(), err)
			}
		})
	}
}

// The values of trailers come while the body is sent.
func TestClientSendsTheTrailersOfARequest(t *testing.T) {
	w, _ := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set(oncehttp.StatusHeader, "executed")
		_, _ = io.WriteString(rw, r.Trailer.Get("X-Sum"))
	})

	body, writer := io.Pipe()

	r := w.request(http.MethodPost, "/", "k", "")
	r.Body, r.ContentLength, r.Trailer = body, -1, http.Header{"X-Sum": nil}

	go func() {
		_, _ = io.WriteString(writer, "body")
		r.Trailer.Set("X-Sum", "4")
		_ = writer.Close()
	}()

	resp, err := w.through().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	if sum, err := io.ReadAll(resp.Body); string(sum) != "4" || err != nil {
		t.Errorf("the server got the trailer %q, %v", sum, err)
	}
}

// idle is a RoundTripper that counts how often its idle connections are closed.
type idle struct {
	http.RoundTripper

	closed int
}

func (i *idle) CloseIdleConnections() { i.closed++ }

func TestIdleConnectionsAreClosed(t *testing.T) {
	base := &idle{RoundTripper: http.DefaultTransport}

	for _, base := range []http.RoundTripper{base, roundTripper(nil)} {
		transport, err := oncehttp.NewTransport(base)
		if err != nil {
			t.Fatal(err)
		}

		(&http.Client{Transport: transport}).CloseIdleConnections()
	}

	if base.closed != 1 {
		t.Errorf("closed %d times", base.closed)
	}
}

func TestRequestWithoutAURLIsRefused(t *testing.T) {
	transport, err := oncehttp.NewTransport(nil)
	if err != nil {
		t.Fatal(err)
	}

	r := (&http.Request{Method: http.MethodPost, Header: make(http.Header)}).WithContext(t.Context())
	if resp, err := transport.RoundTrip(r); err == nil { //nolint:bodyclose // there is none
		t.Errorf("%v", resp)
	}
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()

	at, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}

	return at
}

package oncehttp

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// hasNoBody reports whether it is certain that a request has no body.
func hasNoBody(r *http.Request) bool { return r.Body == nil || r.Body == http.NoBody }

// onceBody is a body of a request that can be sent only once. If it turns out to be empty, it can be sent again.
type onceBody struct {
	io.ReadCloser

	some, ended atomic.Bool
}

// Read implements [io.Reader].
func (b *onceBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.some.Store(true)
	}

	if err == io.EOF { // net/http takes an error that wraps it for a failure
		b.ended.Store(true)
	}

	return n, err
}

// empty reports whether the body is known to be empty.
func (b *onceBody) empty() bool { return b.ended.Load() && !b.some.Load() }

// withoutOwnRetries changes a request so that net/http does not send it again by itself. net/http sends a request with an idempotency key
// again if it has GetBody or no body, whether or not the server protects the route.
func (t *Transport) withoutOwnRetries(r *http.Request) {
	r.GetBody = nil

	if !hasNoBody(r) {
		return
	}

	// net/http knows the name only in canonical form. With another form, the request keeps its Content-Length of 0. A RoundTripper of the
	// application may look for the header, and gets it in canonical form, with chunks. So does a request with the other header that
	// net/http knows.
	_, last := t.base.(*http.Transport)
	if _, other := r.Header[otherKeyHeader]; last && !other && !safe(r.Method) {
		r.Header[lowerKeyHeader] = r.Header[KeyHeader]
		delete(r.Header, KeyHeader)

		return
	}

	r.Body, r.ContentLength = io.NopCloser(eof{}), 0
}

const (
	// lowerKeyHeader is KeyHeader in a form that net/http does not recognize.
	lowerKeyHeader = "idempotency-key"
	// otherKeyHeader is the other header with which net/http sends a request again.
	otherKeyHeader = "X-Idempotency-Key"
)

// safe reports whether net/http sends a request with a method again without an idempotency key.
func safe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	default:
		return false
	}
}

// eof is an empty body. net/http finds out that it is empty only by reading it.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// ending returns a body that ends its attempt. The body of 101 Switching Protocols can be written to, too.
func ending(body io.ReadCloser, end func()) io.ReadCloser {
	own := &endingBody{ReadCloser: body, end: end}

	if w, ok := body.(io.Writer); ok {
		return struct {
			*endingBody
			io.Writer
		}{own, w}
	}

	return own
}

// endingBody ends the context of its attempt when it is closed or read to its end.
type endingBody struct {
	io.ReadCloser

	once sync.Once
	end  func()
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.once.Do(b.end)
	}

	return n, err
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.end)

	return err
}

// watchedBody calls end when it was read to its end, or is closed. If it breaks off, the outcome of its request is unknown.
type watchedBody struct {
	io.ReadCloser

	once    sync.Once
	running func() bool // the server has not declared the status of the request yet
	end     func(failed error)
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)

	switch {
	case err == io.EOF:
		b.once.Do(func() { b.end(nil) })
	case err != nil:
		b.once.Do(func() { b.end(err) })
	}

	return n, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() {
		if b.running() {
			b.end(errClosedEarly)
		} else {
			b.end(nil)
		}
	})

	return err
}

var errClosedEarly = errors.New("oncehttp: the answer was closed before its end, and only its end says what became of the request")

package oncehttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// The fingerprint schemes of requests. Fingerprints of different schemes are not compared, so that a middleware may begin to compare
// canonical bodies while there are records.
const (
	schemeBytes     uint16 = 129 // all bodies are compared byte by byte
	schemeCanonical uint16 = 130 // Policy.Canonical is set
)

// bodyOf reads the whole body of a request. The error is a *onlyonce.Rejection, a *Problem or a bodyTakenError.
func bodyOf(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}

	var (
		body   []byte
		closed bool
		err    error
	)

	if r.Body != nil && r.Body != http.NoBody {
		body, err = readUpTo(r.Body, limit+1, r.ContentLength)
		if closed = errors.Is(err, http.ErrBodyReadAfterClose); err != nil && !closed {
			return nil, unread(err)
		}
	}

	switch plain := r.Header.Get(contentEncoding) == ""; { // a decoded body has another length
	case len(body) == 0:
		if body, err = takenBody(r, closed || plain && r.ContentLength > 0); err != nil {
			return nil, err
		}
	case plain && int64(len(body)) < r.ContentLength: // net/http gives the whole body or an error
		return nil, bodyTakenError{}
	}

	if int64(len(body)) > limit {
		return nil, tooLarge(limit)
	}

	return body, nil
}

// bodyTakenError is the error of a server whose middleware cannot see the bodies of requests.
type bodyTakenError struct{}

func (bodyTakenError) Error() string {
	return "oncehttp: a handler in front of the middleware has read the body of the request, so the key cannot be bound to it: put the " +
		"middleware in front of that handler, or let the handler put back the whole body, with its ContentLength"
}

// Misconfigured marks the error for the engine's log.
func (bodyTakenError) Misconfigured() {}

// takenBody returns the body that a handler in front has read, for example to check a token in a form. Of a form that it has parsed, the
// body is made again. The result is nil if nothing was read. Missing means that the request had a body.
func takenBody(r *http.Request, missing bool) ([]byte, error) {
	switch {
	case r.MultipartForm != nil: // the files may be large
		return nil, bodyTakenError{}
	case len(r.PostForm) > 0:
		return []byte(r.PostForm.Encode()), nil
	case missing:
		return nil, bodyTakenError{}
	default:
		return nil, nil
	}
}

// readUpTo reads at most so many bytes. The memory for them begins small, whatever length the client declares.
func readUpTo(from io.Reader, most, declared int64) ([]byte, error) {
	const begin = 512

	if declared < 0 {
		declared = begin
	}

	data := make([]byte, 0, min(declared, DefaultMaxRequest)+1) // one byte more shows the end without more memory

	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}

		n, err := from.Read(data[len(data):min(int64(cap(data)), most)])
		data = data[:len(data)+n]

		switch {
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, err
		case int64(len(data)) == most:
			return data, nil
		}
	}
}

// unread returns the answer to a request whose body could not be read.
func unread(err error) error {
	if tooMany, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(tooMany.Limit)
	}

	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return &Problem{
			Status: http.StatusRequestTimeout,
			Detail: "the body of the request did not arrive in time, so nothing was executed; retry with the same key",
		}
	}

	return &Problem{Status: http.StatusBadRequest, Detail: "the body of the request could not be read, so nothing was executed; " +
		"retry with the same key"}
}

// tooLarge returns the rejection of a request whose body is too large to be protected. The answer has the status 413.
func tooLarge(limit int64) *onlyonce.Rejection {
	return &onlyonce.Rejection{
		Reason: onlyonce.ReasonNotSupported,
		Message: fmt.Sprintf("the body of a request with an idempotency key may have %d bytes and this one has more, so nothing was executed; "+
			"send a smaller one", limit),
		Metadata: map[string]string{"limit": strconv.FormatInt(limit, 10)}, Cause: errTooLarge,
	}
}

var errTooLarge = errors.New("oncehttp: the body of the request is larger than MaxRequest")

// readBody is the body of a request that is read already.
type readBody struct{ bytes.Reader }

// Close does nothing.
func (*readBody) Close() error { return nil }

// in returns a request with the body.
func (b *readBody) in(r *http.Request, body []byte) *http.Request {
	r.ContentLength = int64(len(body))
	r.TransferEncoding = nil

	if len(body) == 0 {
		r.Body = http.NoBody
	} else {
		b.Reset(body)
		r.Body = b
	}

	return r
}

// removeFiles removes the files of a multipart form that was parsed. net/http removes only those of its own request.
func removeFiles(r *http.Request) {
	if r != nil && r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll()
	}
}

// sentPath returns the path that the client has sent. A handler in front, such as http.StripPrefix, may have changed the path of the URL.
// The result is empty if the path is not known.
func sentPath(r *http.Request) string {
	uri := r.RequestURI
	if _, rest, ok := strings.Cut(uri, "://"); ok && uri[0] != '/' { // the absolute form, which clients send to proxies
		uri = rest[max(strings.IndexAny(rest, "/?"), 0):]
	}

	if !strings.HasPrefix(uri, "/") {
		return ""
	}

	path, _, _ := strings.Cut(uri, "?")

	return path
}

// fingerprintOf returns the fingerprint of a request: its method, path, query, the headers of the policy, its body, and the path that the
// client has sent if that is another one.
func fingerprintOf(r *http.Request, rt *route, body []byte) store.Fingerprint {
	const plain, canonical = "bytes", "canonical"

	form, scheme := plain, schemeBytes

	if rt.policy.Canonical != nil {
		scheme = schemeCanonical

		if same, ok := rt.policy.Canonical(r.Header, body); ok {
			form, body = canonical, same
		}
	}

	d, _ := digests.Get().(*digest)
	defer digests.Put(d)

	path := r.URL.EscapedPath()

	d.front = d.front[:0]
	d.text(r.Method)
	d.text(path)
	d.text(r.URL.RawQuery)

	for _, name := range rt.headers {
		values := r.Header[name]
		if name == hostName { // net/http takes it out of the header
			values = []string{r.Host}
		}

		d.text(name)
		d.count(len(values))

		for _, v := range values {
			d.text(v)
		}
	}

	d.text(form)
	d.count(len(body))

	if sent := sentPath(r); sent != "" && sent != path {
		d.text(sent)
	}

	return store.Fingerprint{Scheme: scheme, Sum: d.sum(body)}
}

// sortedNames returns names in canonical form and in order, each once.
func sortedNames(names []string) []string {
	sorted := make([]string, len(names))
	for i, name := range names {
		sorted[i] = http.CanonicalHeaderKey(name)
	}

	slices.Sort(sorted)

	return slices.Compact(sorted)
}

// digest hashes parts, each behind its length, so that different parts never give the same input.
type digest struct {
	hash  hash.Hash
	front []byte // the parts in front of the body
	space [sha256.Size]byte
}

//nolint:gochecknoglobals // a cache without state
var digests = sync.Pool{New: func() any { return &digest{hash: sha256.New()} }}

// mostFront is how much memory a digest keeps for the next request.
const mostFront = 16 << 10

func (d *digest) count(n int) {
	d.front = binary.BigEndian.AppendUint64(d.front, uint64(n)) //nolint:gosec // never negative
}

func (d *digest) text(s string) {
	d.count(len(s))
	d.front = append(d.front, s...)
}

// sum returns the hash of the parts and of the body.
func (d *digest) sum(body []byte) [sha256.Size]byte {
	d.hash.Reset()
	_, _ = d.hash.Write(d.front)
	_, _ = d.hash.Write(body)
	d.hash.Sum(d.space[:0])

	if cap(d.front) > mostFront {
		d.front = nil
	}

	return d.space
}

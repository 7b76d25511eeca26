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

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// The fingerprint schemes of requests. Fingerprints of different schemes are not compared, so that a middleware may begin to compare
// canonical bodies while there are records.
const (
	schemeBytes     uint16 = 129 // all bodies are compared byte by byte
	schemeCanonical uint16 = 130 // Policy.Canonical is set
)

// readBody reads the whole body of a request. The error is a *onlyonce.Rejection or a *Problem.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}

	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}

	// The buffer begins small, whatever length the client declares.
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 {
		buf.Grow(int(min(n, DefaultMaxRequest)) + bytes.MinRead)
	}

	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))

	var tooMany *http.MaxBytesError

	switch {
	case errors.As(err, &tooMany):
		return nil, tooLarge(tooMany.Limit)
	case err == nil && n > limit:
		return nil, tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return nil, &Problem{
			Status: http.StatusRequestTimeout,
			Detail: "the body of the request did not arrive in time, so nothing was executed; retry with the same key",
		}
	case err != nil:
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "the body of the request could not be read, so nothing was executed; " +
			"retry with the same key"}
	default:
		return buf.Bytes(), nil
	}
}

// tooLarge is the rejection of a request whose body is too large to be protected. It has a status of its own.
func tooLarge(limit int64) *onlyonce.Rejection {
	return &onlyonce.Rejection{
		Reason: onlyonce.ReasonNotSupported,
		Message: fmt.Sprintf("the body of a request with an idempotency key may have %d bytes and this one has more, so nothing was executed; "+
			"send a smaller one", limit),
		Metadata: map[string]string{"limit": strconv.FormatInt(limit, 10)}, Cause: errTooLarge,
	}
}

var errTooLarge = errors.New("oncehttp: the body of the request is larger than MaxRequest")

// withBody returns a request with a body that is read already.
func withBody(r *http.Request, body []byte) *http.Request {
	r.ContentLength = int64(len(body))
	r.TransferEncoding = nil

	if len(body) == 0 {
		r.Body = http.NoBody
	} else {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}

	return r
}

// fingerprintOf returns the fingerprint of a request: its method, path, query, the headers of the policy, and its body.
func fingerprintOf(r *http.Request, p *Policy, body []byte) store.Fingerprint {
	const plain, canonical = "bytes", "canonical"

	form, scheme := plain, schemeBytes

	if p.Canonical != nil {
		scheme = schemeCanonical

		if same, ok := p.Canonical(r.Header, body); ok {
			form, body = canonical, same
		}
	}

	h := digest{Hash: sha256.New()}
	h.text(r.Method)
	h.text(r.URL.EscapedPath())
	h.text(r.URL.RawQuery)

	for _, name := range sortedNames(p.RequestHeaders) {
		values := r.Header[name]
		h.text(name)
		h.count(len(values))

		for _, v := range values {
			h.text(v)
		}
	}

	h.text(form)
	h.count(len(body))
	_, _ = h.Write(body)

	fp := store.Fingerprint{Scheme: scheme}
	h.Sum(fp.Sum[:0])

	return fp
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
	hash.Hash

	space [8]byte
}

func (d *digest) count(n int) {
	binary.BigEndian.PutUint64(d.space[:], uint64(n)) //nolint:gosec // never negative
	_, _ = d.Write(d.space[:])
}

func (d *digest) text(s string) {
	d.count(len(s))
	_, _ = io.WriteString(d.Hash, s)
}

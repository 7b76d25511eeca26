// Package fingerprint computes a digest of a request that is the same on every attempt of a call and differs for another request. A server
// compares it to reject another request under the same idempotency key.
//
// The digest does not depend on the language of the client, on the build of the server, or on the order of maps. It is the SHA-256 of a
// canonical form. docs/fingerprint.md defines the form, so that it can be computed in any language. Each definition has a number, the
// scheme. Digests of different schemes are never compared.
//
// Every field that is set counts, also an unknown one. The request's key and fields that its .proto marks as ignored do not count. If a
// client writes the time or a fresh id into each attempt, each attempt is another request, unless that field is ignored. [Stable] finds
// such fields in a test.
package fingerprint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// SchemeDeterministic was the SHA-256 of the full message name, a zero byte and the deterministic protobuf encoding. That encoding is
	// stable only within one build of a program. The scheme is not used any more.
	SchemeDeterministic uint16 = 1
	// SchemeCanonical is the SHA-256 of the canonical form in docs/fingerprint.md.
	SchemeCanonical uint16 = 2
)

// MaxDepth bounds how deeply messages and groups may be nested, the request itself included. Protobuf implementations that bound parsing
// use the same limit.
const MaxDepth = 100

// ErrTooDeep is matched by the error of Of and Canonical for a request that is nested more deeply than MaxDepth.
var ErrTooDeep = errors.New("fingerprint: the message is nested too deeply")

// Of returns the fingerprint of a message, which must not be nil. The message is read and not changed. Of fails in these cases:
//   - The message cannot be encoded, for example because a string is not UTF-8.
//   - The message is nested too deeply: the error matches ErrTooDeep.
func Of(msg proto.Message) (store.Fingerprint, error) {
	work, _ := works.Get().(*work)
	defer work.done()

	canonical, err := work.canonical(msg)
	if err != nil {
		return store.Fingerprint{}, fmt.Errorf("fingerprint: encoding a %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}

	return store.Fingerprint{Scheme: SchemeCanonical, Sum: sha256.Sum256(canonical)}, nil
}

// Canonical appends the canonical form of a message to buf. The form is a protobuf encoding of the message without the fields that do not
// count. Canonical fails as Of does, and then returns buf.
func Canonical(buf []byte, msg proto.Message) ([]byte, error) {
	work, _ := works.Get().(*work)
	defer work.done()

	canonical, err := work.canonical(msg)
	if err != nil {
		return buf, fmt.Errorf("fingerprint: encoding a %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}

	return append(buf, canonical...), nil
}

// work has the buffers for a canonical form. They are reused.
type work struct {
	encoded, form []byte
	sizes, spare  []byte
	entries       []int // offsets of the entries of maps
}

// largestKept is the size of the largest buffers that are reused, in bytes.
const largestKept = 64 << 10

var works = sync.Pool{New: func() any { return new(work) }} //nolint:gochecknoglobals // a cache without state

func (w *work) done() {
	const entrySize = 8 // of an int

	if cap(w.encoded)+cap(w.form)+cap(w.sizes)+cap(w.spare)+cap(w.entries)*entrySize <= largestKept {
		works.Put(w)
	}
}

// canonical returns the canonical form of a message, in memory of w.
func (w *work) canonical(msg proto.Message) (form []byte, err error) {
	m := msg.ProtoReflect()
	p := planOf(m.Descriptor())

	w.encoded = w.encoded[:0]
	if err := w.encode(m, p, 1); err != nil {
		return nil, err
	}

	if verbatim(w.encoded, p, 1) {
		return w.encoded, nil
	}

	w.entries, w.sizes = w.entries[:0], w.sizes[:0] // an error leaves some
	w.form = slices.Grow(w.form[:0], len(w.encoded))
	w.form, err = w.message(w.form, w.encoded, p, 1)

	return w.form, err
}

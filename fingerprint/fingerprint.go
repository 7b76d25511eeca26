// Package fingerprint makes the digest by which two requests under one idempotency key are told apart.
//
// A request must have the same digest on every attempt, whichever language its client is written in, whichever build of
// the server looks at it, and however its maps happen to be ordered. So the digest is that of a canonical form, which
// docs/fingerprint.md defines so that it can be made in any language, and which has a number, the scheme. Digests of
// different schemes are never compared.
//
// Every field that is set counts, unknown ones included, except for the request's key and for fields that its .proto marks as
// ignored. A client that writes the time, or a fresh id, into each attempt sends another request each time, unless that field
// is ignored.
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
	// SchemeDeterministic was SHA-256 of the full message name, a zero byte and the deterministic protobuf encoding, which is
	// stable within one build of a program alone. It is not made any more.
	SchemeDeterministic uint16 = 1
	// SchemeCanonical is SHA-256 of the canonical form of docs/fingerprint.md.
	SchemeCanonical uint16 = 2
)

// MaxDepth is how deeply messages and groups may be nested, the request itself included. It is the limit that protobuf
// implementations set for parsing where they set one.
const MaxDepth = 100

// ErrTooDeep is matched by the error of Of for a request that is nested more deeply than MaxDepth.
var ErrTooDeep = errors.New("fingerprint: the message is nested too deeply")

// Of returns the fingerprint of a message, which must not be nil. The message is read and not changed. It fails where the
// message cannot be encoded, such as one with text that is not UTF-8, and where it is nested too deeply.
func Of(msg proto.Message) (store.Fingerprint, error) {
	work, _ := works.Get().(*work)
	defer work.done()

	canonical, err := work.canonical(msg)
	if err != nil {
		return store.Fingerprint{}, fmt.Errorf("fingerprint: encoding a %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}

	return store.Fingerprint{Scheme: SchemeCanonical, Sum: sha256.Sum256(canonical)}, nil
}

// Canonical appends the canonical form of a message, which is a protobuf encoding of it, less what is ignored. It fails as Of does.
func Canonical(buf []byte, msg proto.Message) ([]byte, error) {
	work, _ := works.Get().(*work)
	defer work.done()

	canonical, err := work.canonical(msg)
	if err != nil {
		return buf, fmt.Errorf("fingerprint: encoding a %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}

	return append(buf, canonical...), nil
}

// work is what making a canonical form needs, kept for the next one.
type work struct {
	encoded, form []byte
	sizes, spare  []byte
	entries       []int // where entries of maps begin
}

// largestKept is the largest buffer that is kept for later, in bytes.
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

	w.entries, w.sizes = w.entries[:0], w.sizes[:0] // there are some left after an error
	w.form = slices.Grow(w.form[:0], len(w.encoded))
	w.form, err = w.message(w.form, w.encoded, p, 1)

	return w.form, err
}

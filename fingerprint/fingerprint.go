// Package fingerprint makes the digest by which two requests under one idempotency key are told apart.
//
// Every field that is set counts, unknown ones included. A client that writes the time, or a fresh id, into each attempt sends
// another request each time.
package fingerprint

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce/store"
)

// SchemeDeterministic is SHA-256 of the full message name, a zero byte and the deterministic protobuf encoding. That encoding
// is stable within one build of a program, but promises nothing across builds; see proto.MarshalOptions. Digests of different
// schemes are never compared.
const SchemeDeterministic uint16 = 1

// Of returns the fingerprint of a message, which must not be nil. The message is read and not changed. It fails where the
// message cannot be encoded, such as one with text that is not UTF-8.
func Of(msg proto.Message) (store.Fingerprint, error) {
	buf, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buf)

	name := msg.ProtoReflect().Descriptor().FullName()

	data := (*buf)[:0]
	data = append(data, name...)
	data = append(data, 0)

	data, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(data, msg)
	if err != nil {
		return store.Fingerprint{}, fmt.Errorf("fingerprint: encoding a %s: %w", name, err)
	}

	sum := sha256.Sum256(data)

	if cap(data) <= largestKept {
		*buf = data
	}

	return store.Fingerprint{Scheme: SchemeDeterministic, Sum: sum}, nil
}

// largestKept is the largest buffer that is kept for later, in bytes.
const largestKept = 64 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a cache without state

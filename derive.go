package onlyonce

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// How keys are derived is defined in docs/derived-keys.md, with vectors in testdata/derived-keys.json. A key that is derived in
// another way is another key, and the effect behind it would happen twice: what is here changes under a new version alone.

// ErrNoRun means that a key was to be derived outside of a run.
var ErrNoRun = errors.New("onlyonce: keys are derived inside of a run alone: " +
	"use the context that the handler was given, or one made from it")

const (
	derivationDomain = "onlyonce/derived-key/v1"

	derivedForCall     = "call"
	derivedForExternal = "external"

	// Version 1 of each kind.
	callPrefix     = "d1-"
	externalPrefix = "x1-"
)

// derivation is everything that a derived key is made of. The request is no part of it: a handler that runs again and sends
// something else under the same key is found out by the other side.
type derivation struct {
	scope, method, key string // of the run
	kind               string
	target             string // the full method that is called, or the name of what is not called by this package
	step               string // empty where it has no name
}

// digest is a hash of all parts, each preceded by its length, so that different derivations never give the same input.
func (d *derivation) digest() [sha256.Size]byte {
	var space [512]byte

	buf := space[:0]
	for _, part := range [...]string{derivationDomain, d.kind, d.scope, d.method, d.key, d.target, d.step} {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(part)))
		buf = append(buf, part...)
	}

	return sha256.Sum256(buf)
}

// derivedKey writes a digest with digits that differ in more than their case, for systems that do not tell case apart.
func derivedKey(prefix string, digest *[sha256.Size]byte) string {
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(digest[:]))
}

// derivedUUID writes a digest as a UUID of version 4.
func derivedUUID(digest *[sha256.Size]byte) string {
	id := [16]byte(digest[:16])

	return uuidOf(&id, 4)
}

// derivedTimeOrdered writes a digest as a UUID of version 7 with the time of the key that it is derived from.
func derivedTimeOrdered(digest *[sha256.Size]byte, from string) (string, bool) {
	const timeBytes = 6

	made, ok := parseUUID(from)
	if _, ordered := KeyTime(from); !ok || !ordered {
		return "", false
	}

	id := [16]byte(digest[:16])
	copy(id[:timeBytes], made[:timeBytes])

	return uuidOf(&id, 7), true
}

// DeriveExternal returns the key under which a run asks something outside for an effect that is not called through this package,
// such as a payment provider with idempotency keys of its own. Every run of the call has the same key for a name, whatever happened
// to the runs before. The name says what is asked for, "charge" say; where a run asks for it more than once, the names differ, or
// the contexts do: a step that [WithStep] has named is part of the key.
//
// The key has 55 characters of a-z, 2-7, 1 and the hyphen, which fits the rules of the usual providers. How long they remember a key
// is theirs to say: a run is not repeated later than Policy.Retention after it first began, so a provider that remembers for less time
// may do it twice. The error matches [ErrNoRun], or says that the name is empty.
func DeriveExternal(ctx context.Context, name string) (string, error) {
	r, ok := runOf(ctx)
	if !ok {
		return "", fmt.Errorf("%w: no key for %q", ErrNoRun, name)
	}

	if name == "" {
		return "", errors.New("onlyonce: DeriveExternal needs a name for what is asked for, such as \"charge\"")
	}

	digest := r.x.derive(ctx, derivedForExternal, name).digest()

	return derivedKey(externalPrefix, &digest), nil
}

// derive says what a key is made of that is derived in a context of the run.
func (x *execution) derive(ctx context.Context, kind, target string) *derivation {
	step, _ := ctx.Value(stepKey{}).(string)

	return &derivation{
		scope: x.call.Scope, method: x.call.Method, key: x.call.Key, kind: kind, target: target, step: step,
	}
}

package onlyonce

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/onlyonce-go/onlyonce/internal/uuid"
)

// docs/derived-keys.md defines how keys are derived, and testdata/derived-keys.json has the vectors. A key that is derived in another way
// is another key, and its effect would happen twice. So the derivation changes only under a new version.

// ErrNoRun means that a key was derived outside of a run.
var ErrNoRun = errors.New("onlyonce: deriving a key outside of a run: " +
	"use the context that the handler got, or a context made from it")

const (
	derivationDomain = "onlyonce/derived-key/v1"

	derivedForCall     = "call"
	derivedForExternal = "external"

	// Version 1 of each kind.
	callPrefix     = "d1-"
	externalPrefix = "x1-"
)

// derivation is everything that a derived key is made of. The request is no part of it: if a handler runs again and sends another request
// under the same key, the other service rejects it.
type derivation struct {
	scope, method, key string // of the run
	kind               string
	target             string // the full method that is called, or the name of what is not called by this package
	step               string // empty if it has no name
}

// digest is a hash of everything that the key is made of.
func (d *derivation) digest() [sha256.Size]byte {
	return sumOf(derivationDomain, d.kind, d.scope, d.method, d.key, d.target, d.step)
}

// derivedKey writes a digest as a key.
func derivedKey(prefix string, digest *[sha256.Size]byte) string { return prefix + lowerBase32(digest) }

// derivedUUID writes a digest as a UUID of version 4.
func derivedUUID(digest *[sha256.Size]byte) string {
	return uuid.UUID(digest[:16]).Marked(4).String()
}

// derivedTimeOrdered writes a digest as a UUID of version 7 with the time of the key that it is derived from. The second result is false if
// that key has no time.
func derivedTimeOrdered(digest *[sha256.Size]byte, from string) (string, bool) {
	parent, ok := uuid.Parse(from)
	if _, ordered := parent.Time(); !ok || !ordered {
		return "", false
	}

	return uuid.UUID(digest[:16]).WithTimeOf(parent).String(), true
}

// DeriveExternal returns the key under which a run requests an effect outside of this package. An example is a payment from a provider
// with idempotency keys of its own. Every run of the call gets the same key for a name. Ctx is the context of the run, and the name is that
// of the effect, such as "charge".
//   - A run that requests an effect twice uses two names, or two steps: a step that [WithStep] has named is part of the key.
//   - The key has 55 characters of a-z, 2-7, 1 and the hyphen, which fits the rules of the usual providers.
//   - The call may run again until Policy.Retention has passed since its first run began. If the provider remembers the key for less
//     time, the effect may happen twice.
//
// The error matches [ErrNoRun], or reports an empty name.
func DeriveExternal(ctx context.Context, name string) (string, error) {
	r, ok := runOf(ctx)
	if !ok {
		return "", fmt.Errorf("%w: no key for %q", ErrNoRun, name)
	}

	if name == "" {
		return "", errors.New("onlyonce: deriving a key for an effect without a name: give DeriveExternal a name, such as \"charge\"")
	}

	digest := r.derive(ctx, derivedForExternal, name).digest()

	return derivedKey(externalPrefix, &digest), nil
}

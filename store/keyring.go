package store

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Keyring provides the keys of a [Sealed] store. [StaticKeys] keeps keys in memory. The example of Keyring uses a key management service.
//
// Every operation on a record calls the ring. So a ring keeps its keys in memory, is safe for concurrent use, and returns when ctx ends.
//   - An error that matches [ErrNoKey] means that the ring definitely lacks the key. The record is refused, and no handler runs.
//   - Any other error means that the ring cannot answer at the moment. It counts as an error of the store: the operation fails and may be
//     tried again.
//   - The texts of errors appear in logs, so they must not contain secrets.
type Keyring interface {
	// Newest returns the key that seals new texts. It never returns nil without an error.
	Newest(ctx context.Context) (*SealKey, error)
	// Key returns the key with this id. The id comes from the store and is not authenticated. It has 1 to [MaxKeyID] printable ASCII
	// characters, without spaces and colons.
	Key(ctx context.Context, id string) (*SealKey, error)
}

const (
	// SealKeySize is the length of the secret of a SealKey, in bytes.
	SealKeySize = 32
	// MaxKeyID is the greatest length of the id of a SealKey, in bytes.
	MaxKeyID = 32
)

// ErrNoKey is matched by errors about a key that a [Keyring] lacks. The error about a record that was sealed under such a key also matches
// [ErrNewer], because another replica may have the key.
var ErrNoKey = errors.New("store: the key ring has no such key")

// SealKey is a key of a [Keyring]. It never changes. Formatted or logged, it shows its id and never its secret.
type SealKey struct {
	id string
	// secret is the output of HKDF-Extract, from which the keys of all records are expanded.
	secret []byte
	// names is the HMAC key of hashed readable keys.
	names []byte
}

// NewSealKey returns a key.
//   - The id is stored with every text that is sealed under the key. It is not secret: a date is a good id. It has 1 to [MaxKeyID]
//     printable ASCII characters, without spaces and colons. Never give two secrets the same id.
//   - The secret has [SealKeySize] random bytes, such as from crypto/rand.Read. It is copied. A passphrase is not a secret.
//
// NewSealKey returns an error if the id or the length of the secret is invalid. It also fails under GODEBUG=fips140=only, because there the
// standard library refuses AES-GCM with nonces that are not random.
func NewSealKey(id string, secret []byte) (*SealKey, error) {
	switch {
	case !validKeyID(id):
		return nil, fmt.Errorf("store: invalid key id %q: use 1 to %d printable ASCII characters without spaces and colons",
			id, MaxKeyID)
	case len(secret) != SealKeySize:
		return nil, fmt.Errorf("store: the secret of key %q has %d bytes: use %d random bytes", id, len(secret), SealKeySize)
	}

	extracted, err := hkdf.Extract(sha256.New, secret, nil)
	if err != nil {
		return nil, fmt.Errorf("store: deriving from key %q: %w", id, err)
	}

	names, err := hkdf.Expand(sha256.New, extracted, "onlyonce readable keys 1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("store: deriving from key %q: %w", id, err)
	}

	key := &SealKey{id: id, secret: extracted, names: names}
	if _, err := key.forRecord(&Key{}, &Token{}); err != nil {
		return nil, fmt.Errorf("store: deriving from key %q: %w", id, err)
	}

	return key, nil
}

func validKeyID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == ':' {
			return false
		}
	}

	return id != "" && len(id) <= MaxKeyID
}

// ID returns the id of the key.
func (k *SealKey) ID() string { return k.id }

// Format writes the id alone, under every verb.
func (k *SealKey) Format(f fmt.State, _ rune) {
	if k == nil {
		_, _ = f.Write([]byte("no key"))

		return
	}

	_, _ = f.Write([]byte("key " + k.id))
}

// hashSize is the length of the hash of a readable key, in bytes. A chance collision of 128 bits is not to be expected.
const hashSize = 16

// HashKey returns the text that a store with [WithHashedKeys] keeps in place of readableKey: the id of the key, a colon and 32 hexadecimal
// digits. An operator searches lists for this text. Records from before a rotation have the hash under an older key. The hash of an empty
// readable key is empty.
func (k *SealKey) HashKey(readableKey string) string {
	if readableKey == "" {
		return ""
	}

	mac := hmac.New(sha256.New, k.names)
	mac.Write([]byte(readableKey))

	return k.id + ":" + hex.EncodeToString(mac.Sum(nil)[:hashSize])
}

// KeyMatches reports whether hashed, the ReadableKey of a record, is the [SealKey.HashKey] of readableKey. It reports false if hashed is
// not such a hash. An error comes from the ring.
func KeyMatches(ctx context.Context, ring Keyring, hashed, readableKey string) (bool, error) {
	id, _, isHash := strings.Cut(hashed, ":")
	if !isHash || !validKeyID(id) {
		return false, nil
	}

	key, err := keyOf(ctx, ring, id)
	if err != nil {
		return false, err
	}

	return hmac.Equal([]byte(key.HashKey(readableKey)), []byte(hashed)), nil
}

// recordKey seals the texts of one run of one record.
type recordKey struct {
	aead cipher.AEAD
	// nonces is the HMAC key of the synthetic nonces.
	nonces []byte
}

// StaticKeys is a [Keyring] in memory.
type StaticKeys struct {
	newest *SealKey
	byID   map[string]*SealKey
}

// NewStaticKeys returns a key ring. It seals under newest and opens under all keys. NewStaticKeys returns an error if a key is nil, or if
// two keys have the same id.
func NewStaticKeys(newest *SealKey, others ...*SealKey) (*StaticKeys, error) {
	ring := &StaticKeys{newest: newest, byID: make(map[string]*SealKey)}

	for _, key := range append([]*SealKey{newest}, others...) {
		switch {
		case key == nil:
			return nil, errors.New("store: new key ring: a key is nil: check the error of NewSealKey")
		case ring.byID[key.id] != nil:
			return nil, fmt.Errorf("store: new key ring: two keys have the id %q: give each secret its own id", key.id)
		}

		ring.byID[key.id] = key
	}

	return ring, nil
}

// Newest implements [Keyring].
func (r *StaticKeys) Newest(context.Context) (*SealKey, error) { return r.newest, nil }

// Key implements [Keyring].
func (r *StaticKeys) Key(_ context.Context, id string) (*SealKey, error) {
	if key := r.byID[id]; key != nil {
		return key, nil
	}

	return nil, ErrNoKey
}

// newestOf returns the key that the ring seals with.
func newestOf(ctx context.Context, ring Keyring) (*SealKey, error) {
	key, err := ring.Newest(ctx)

	switch {
	case err != nil:
		return nil, &keyringError{err}
	case key == nil:
		return nil, &keyringError{errors.New("Newest returned no key and no error")}
	default:
		return key, nil
	}
}

// keyOf returns the ring's key with this id. A ring that returns a key with another id lacks this key.
func keyOf(ctx context.Context, ring Keyring, id string) (*SealKey, error) {
	key, err := ring.Key(ctx, id)

	switch {
	case errors.Is(err, ErrNoKey):
		return nil, &missingKeyError{id}
	case err != nil:
		return nil, &keyringError{err}
	case key == nil || key.id != id:
		return nil, &missingKeyError{id}
	default:
		return key, nil
	}
}

// missingKeyError is the error about a record whose key the ring lacks.
type missingKeyError struct{ id string }

func (e *missingKeyError) Error() string {
	return fmt.Sprintf("store: getting a key from the key ring: it has no key %q: add the key to the ring", e.id)
}

func (e *missingKeyError) Is(target error) bool { return target == ErrNoKey || target == ErrNewer }

// keyringError is the error of a ring that cannot answer. It hides the sentinels of this package, because each of them would be a statement
// about the record.
type keyringError struct{ err error }

func (e *keyringError) Error() string {
	return "store: getting a key from the key ring: " + e.err.Error()
}

// Is reports whether target is the context error that ended the ring's work.
func (e *keyringError) Is(target error) bool {
	return (target == context.DeadlineExceeded || target == context.Canceled) && errors.Is(e.err, target)
}

// Timeout reports whether the ring's error is a timeout.
func (e *keyringError) Timeout() bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](e.err)

	return ok && timeout.Timeout()
}

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

// Keyring has the keys of a [Sealed] store. [StaticKeys] is one that is in memory. One that asks a key management service is in the
// examples of this package.
//
// A key ring is safe for concurrent use, and keeps keys in memory: every operation on a record calls it. It returns when ctx ends.
//   - An error that matches [ErrNoKey] means that the ring surely does not have the key. The record is refused, and nothing runs.
//   - Any other error means that the ring cannot tell now. It counts as an error of the store: the operation is refused and tried again.
//   - The text of an error appears in logs. It must not contain a secret.
type Keyring interface {
	// Newest returns the key under which texts are sealed from now on.
	Newest(ctx context.Context) (*SealKey, error)
	// Key returns the key with an id. The id was read from the store, so nobody has authenticated it. It has at most [MaxKeyID] characters,
	// which are printable ASCII without spaces and colons.
	Key(ctx context.Context, id string) (*SealKey, error)
}

const (
	// SealKeySize is the length of the secret of a SealKey, in bytes.
	SealKeySize = 32
	// MaxKeyID is the longest id of a SealKey, in bytes.
	MaxKeyID = 32
)

// ErrNoKey is matched by errors about a key that a [Keyring] does not have. The error about a record that is sealed under such a key
// matches [ErrNewer] too: another process may have the key, and this one may get it.
var ErrNoKey = errors.New("store: the key ring has no such key")

// SealKey is a key of a [Keyring]. It does not change. Printed or logged, it shows its id and never its secret.
type SealKey struct {
	id string
	// secret is the key from which all others are expanded: the first half of HKDF, which is the same for every record.
	secret []byte
	// names is the key of the hashes of readable keys.
	names []byte
}

// NewSealKey returns a key. The id is stored with every text that is sealed under the key, and is no secret: a date will do. It has 1 to
// [MaxKeyID] characters, which are printable ASCII without spaces and colons. Never give two secrets the same id.
//
// The secret has [SealKeySize] bytes that were drawn at random, such as by crypto/rand.Read. It is copied. A passphrase is no secret.
//
// NewSealKey fails with the setting GODEBUG=fips140=only, in which the standard library refuses AES-GCM with nonces that are not random.
func NewSealKey(id string, secret []byte) (*SealKey, error) {
	switch {
	case !validKeyID(id):
		return nil, fmt.Errorf("store: %q cannot be the id of a key: give 1 to %d printable ASCII characters without spaces and colons",
			id, MaxKeyID)
	case len(secret) != SealKeySize:
		return nil, fmt.Errorf("store: the secret of key %q has %d bytes: give %d random ones", id, len(secret), SealKeySize)
	}

	extracted, err := hkdf.Extract(sha256.New, secret, nil)
	if err != nil {
		return nil, fmt.Errorf("store: key %q: %w", id, err)
	}

	names, err := hkdf.Expand(sha256.New, extracted, "onlyonce readable keys 1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("store: key %q: %w", id, err)
	}

	key := &SealKey{id: id, secret: extracted, names: names}
	if _, err := key.forRecord(&Key{}, &Token{}); err != nil {
		return nil, fmt.Errorf("store: key %q: %w", id, err)
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

// Format prints the id alone, whatever the verb is.
func (k *SealKey) Format(f fmt.State, _ rune) {
	if k == nil {
		_, _ = f.Write([]byte("no key"))

		return
	}

	_, _ = f.Write([]byte("key " + k.id))
}

// hashSize is the length of the hash of a readable key, in bytes: nobody finds a second key with the same 128 bits by chance.
const hashSize = 16

// HashKey returns what a store with [WithHashedKeys] keeps instead of a readable key: the id of the key, a colon, and 32 hexadecimal
// digits. A list of records is searched for it. After a rotation, older records have the hash of an older key. An empty readable key stays
// empty.
func (k *SealKey) HashKey(readableKey string) string {
	if readableKey == "" {
		return ""
	}

	mac := hmac.New(sha256.New, k.names)
	mac.Write([]byte(readableKey))

	return k.id + ":" + hex.EncodeToString(mac.Sum(nil)[:hashSize])
}

// KeyMatches reports whether hashed, the ReadableKey of a record, was made of a readable key by [SealKey.HashKey]. The error is the
// ring's.
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

// recordKey is what seals the texts of one run of one record.
type recordKey struct {
	aead cipher.AEAD
	// nonces is the key of the synthetic nonces.
	nonces []byte
}

// StaticKeys is a [Keyring] in memory.
type StaticKeys struct {
	newest *SealKey
	byID   map[string]*SealKey
}

// NewStaticKeys returns a key ring. Texts are sealed under the newest key, and read under all of them. It fails if a key is nil, or if two
// keys have the same id.
func NewStaticKeys(newest *SealKey, others ...*SealKey) (*StaticKeys, error) {
	ring := &StaticKeys{newest: newest, byID: make(map[string]*SealKey)}

	for _, key := range append([]*SealKey{newest}, others...) {
		switch {
		case key == nil:
			return nil, errors.New("store: a key of the key ring is nil: see the error of NewSealKey")
		case ring.byID[key.id] != nil:
			return nil, fmt.Errorf("store: two keys of the key ring have the id %q: give each secret an id of its own", key.id)
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

// newestOf is the key that a ring seals with.
func newestOf(ctx context.Context, ring Keyring) (*SealKey, error) {
	key, err := ring.Newest(ctx)

	switch {
	case err != nil:
		return nil, &keyringError{err}
	case key == nil:
		return nil, &keyringError{errors.New("Newest has returned no key and no error")}
	default:
		return key, nil
	}
}

// keyOf is the key with an id. A ring that returns another key does not have this one.
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

// missingKeyError is about a record whose key this process does not have.
type missingKeyError struct{ id string }

func (e *missingKeyError) Error() string {
	return fmt.Sprintf("store: a record is sealed under the key %q, which the key ring does not have: add the key to the ring", e.id)
}

func (e *missingKeyError) Is(target error) bool { return target == ErrNoKey || target == ErrNewer }

// keyringError is about a key ring that cannot tell now. It matches no error of this package, whatever the ring has returned: those would
// state something about the record.
type keyringError struct{ err error }

func (e *keyringError) Error() string {
	return "store: the key ring of a sealed store: " + e.err.Error()
}

// Is lets the ends of contexts be recognised.
func (e *keyringError) Is(target error) bool {
	return (target == context.DeadlineExceeded || target == context.Canceled) && errors.Is(e.err, target)
}

// Timeout reports whether the ring has run out of time.
func (e *keyringError) Timeout() bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](e.err)

	return ok && timeout.Timeout()
}

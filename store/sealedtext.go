package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

// The stored form of a sealed text:
//
//	byte   0…2    3        4             5…      then   to the end
//	       magic  version  length of id  the id  nonce  ciphertext, tag
//
// It is longer than the text by sealedHeader, the id, the nonce and the tag, whatever the text is, and nothing is compressed.
//
// # What is composed, and from where
//
//   - The key of a record: HKDF-SHA256 (RFC 5869) of the secret of the ring, once to extract and then to expand, with the storage key and
//     the owner's token as info. It gives a key for AES-256 and one for nonces. A token is drawn anew for every run, so such a pair of keys
//     seals the few texts of one run. No bound on the use of one AES-GCM key (NIST SP 800-38D, section 8.3) comes near, however long a key
//     of the ring is used. Deriving keys for this purpose is described by Gueron and Lindell, "Better Bounds for Block Cipher Modes of
//     Operation via Nonce-Based Key Derivation" (CCS 2017).
//   - The nonce: the first 96 bits of HMAC-SHA256 (RFC 2104), under the second key, of the associated data and the text. This is the
//     synthetic nonce of SIV (Rogaway and Shrimpton, "Deterministic Authenticated-Encryption", 2006; RFC 5297; AES-GCM-SIV, RFC 8452,
//     section 9). The same text in the same place has the same sealed form, as the repeats of operations need. Two different texts of one
//     run share a nonce with a probability of 2^-96.
//   - The cipher: AES-256-GCM (NIST SP 800-38D) as crypto/cipher has it.
//   - The associated data: everything before the nonce, the storage key, the token and the kind of the text. So a text that is moved to
//     another record, another run of it, or another state is not accepted, and neither is one whose version or id was changed.
//
// What determinism gives away: whoever reads the store sees that an operation was repeated with the same text. A store sees that
// anyway. Two records never show that their texts are equal.

const (
	sealedMagic   = "\xf5SL" // no text of the engine, and no UTF-8, begins with this
	sealedVersion = 1
	sealedHeader  = len(sealedMagic) + 2
	nonceSize     = 12
	tagSize       = 16
	aesKeySize    = 32
)

// textKind is the kind of an opaque text in a record. Its numbers are part of the sealed form and never change.
type textKind uint8

const (
	noKind        textKind = 0
	noteOfClaim   textKind = 1
	heldOutcome   textKind = 2
	ownersOutcome textKind = 3 // a completion's
	foundOutcome  textKind = 4 // of a resolution as Completed
	noteOfRelease textKind = 5 // of a resolution as Released
)

// place is where a text belongs: its storage key, the run, and what it is there.
type place struct {
	key   Key
	token Token
	kind  textKind
}

// placeOf is the place of the Outcome of a record. An outcome is always left by an operation that named the token of the record.
func placeOf(key *Key, rec *Record) place {
	at := place{key: *key, token: rec.Token}

	switch {
	case rec.State == Running:
		at.kind = noteOfClaim
	case rec.State == Unknown:
		at.kind = heldOutcome
	case rec.State == Completed && !rec.Resolved:
		at.kind = ownersOutcome
	case rec.State == Completed:
		at.kind = foundOutcome
	case rec.State == Released && rec.Resolved:
		at.kind = noteOfRelease
	}

	return at
}

// mayBeEmpty reports that there may be no text at all. Other texts are sealed even if they are empty, so that nobody can remove them.
func (k textKind) mayBeEmpty() bool {
	return k != heldOutcome && k != ownersOutcome && k != foundOutcome
}

// forRecord derives the key of one run of one record.
func (k *SealKey) forRecord(key *Key, token *Token) (recordKey, error) {
	const label = "onlyonce sealed text 1"

	info := make([]byte, 0, len(label)+len(key)+len(token))
	info = append(append(append(info, label...), key[:]...), token[:]...)

	derived, err := hkdf.Expand(sha256.New, k.secret, string(info), aesKeySize+sha256.Size)
	if err != nil {
		return recordKey{}, fmt.Errorf("store: deriving the key of a record: %w", err)
	}

	block, err := aes.NewCipher(derived[:aesKeySize])
	if err != nil {
		return recordKey{}, fmt.Errorf("store: the cipher of a record: %w", err)
	}

	aead, err := cipher.NewGCM(block)
	if err != nil {
		return recordKey{}, fmt.Errorf("store: the cipher of a record: %w", err)
	}

	return recordKey{aead: aead, nonces: derived[aesKeySize:]}, nil
}

// nonce appends the synthetic nonce of a text.
func (k *recordKey) nonce(to, associated, plain []byte) []byte {
	var sum [sha256.Size]byte

	mac := hmac.New(sha256.New, k.nonces)
	mac.Write(associated)
	mac.Write(plain)

	return append(to, mac.Sum(sum[:0])[:nonceSize]...)
}

// associated is the associated data of a text: its header, and its place.
func (p *place) associated(header []byte) []byte {
	data := make([]byte, 0, len(header)+len(p.key)+len(p.token)+1)

	return append(append(append(append(data, header...), p.key[:]...), p.token[:]...), byte(p.kind))
}

// seal returns the sealed form of a text. The same arguments give the same bytes.
func (k *SealKey) seal(at place, plain []byte) ([]byte, error) {
	own, err := k.forRecord(&at.key, &at.token)
	if err != nil {
		return nil, err
	}

	text := make([]byte, 0, sealedHeader+len(k.id)+nonceSize+len(plain)+tagSize)
	text = append(text, sealedMagic...)
	text = append(text, sealedVersion, byte(len(k.id))) //nolint:gosec // at most MaxKeyID
	text = append(text, k.id...)
	header := len(text)

	associated := at.associated(text)
	text = own.nonce(text, associated, plain)

	return own.aead.Seal(text, text[header:], plain, associated), nil
}

// isSealed reports whether a text has the beginning of a sealed one.
func isSealed(text []byte) bool {
	return len(text) >= len(sealedMagic) && string(text[:len(sealedMagic)]) == sealedMagic
}

// open returns the text of a sealed one. It never has more bytes. The error matches ErrUnreadable or ErrNewer, or is about the ring.
func open(ctx context.Context, ring Keyring, at place, text []byte) ([]byte, error) {
	switch {
	case at.kind == noKind:
		return nil, fmt.Errorf("store: a record has a text where its state has none: %w", ErrUnreadable)
	case !isSealed(text):
		return nil, fmt.Errorf("store: a record is not sealed: see WithUnsealedRecords: %w", ErrUnreadable)
	case len(text) > len(sealedMagic) && text[len(sealedMagic)] > sealedVersion:
		return nil, fmt.Errorf("store: a sealed text has version %d, this build knows %d: %w", text[len(sealedMagic)], sealedVersion, ErrNewer)
	case len(text) < sealedHeader, text[len(sealedMagic)] != sealedVersion:
		return nil, fmt.Errorf("store: a sealed text of %d bytes has a damaged beginning: %w", len(text), ErrUnreadable)
	}

	header := sealedHeader + int(text[sealedHeader-1])
	if len(text) < header+nonceSize+tagSize {
		return nil, fmt.Errorf("store: a sealed text of %d bytes is cut short: %w", len(text), ErrUnreadable)
	}

	id := string(text[sealedHeader:header])
	if !validKeyID(id) {
		return nil, fmt.Errorf("store: a sealed text has no valid id of a key: %w", ErrUnreadable)
	}

	key, err := keyOf(ctx, ring, id)
	if err != nil {
		return nil, err
	}

	own, err := key.forRecord(&at.key, &at.token)
	if err != nil {
		return nil, err
	}

	nonce, sealed := text[header:header+nonceSize], text[header+nonceSize:]

	plain, err := own.aead.Open(nil, nonce, sealed, at.associated(text[:header]))
	if err != nil {
		// The cipher's own error says no more.
		return nil, fmt.Errorf("store: a sealed text is damaged, or belongs to another record or another state: %w", ErrUnreadable)
	}

	return plain, nil
}

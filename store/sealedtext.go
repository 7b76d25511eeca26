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
// It is longer than the text by sealedHeader, the id, the nonce and the tag. Texts are not compressed.
//
// # Constructions and sources
//
//   - The keys of a run: HKDF-SHA256 (RFC 5869). Extract takes the secret of the ring. Expand takes the storage key and the owner's token
//     as info, and yields a key for AES-256 and a key for nonces. Every run has a new token, so one pair of keys seals only the few texts
//     of one run. The bounds on one AES-GCM key (NIST SP 800-38D, section 8.3) stay far away, however long a ring's key is used. See Gueron
//     and Lindell, "Better Bounds for Block Cipher Modes of Operation via Nonce-Based Key Derivation" (CCS 2017).
//   - The nonce: the first 96 bits of HMAC-SHA256 (RFC 2104) of the associated data and the text, under the key for nonces. This is the
//     synthetic nonce of SIV (Rogaway and Shrimpton, "Deterministic Authenticated-Encryption", 2006; RFC 5297; AES-GCM-SIV, RFC 8452,
//     section 9). Equal texts in one place have equal sealed forms, as repeats need. Two different texts of one run share a nonce with a
//     probability of 2^-96.
//   - The cipher: AES-256-GCM (NIST SP 800-38D) of crypto/cipher.
//   - The associated data: everything before the nonce, the storage key, the token and the kind of the text. So a text in another record,
//     run or state is refused, and so is a text with a changed version or id.
//
// Determinism reveals that an operation was repeated with the same text, which stores can see anyway. It never reveals that two records
// have equal texts.

const (
	sealedMagic   = "\xf5SL" // not the beginning of any text of the engine, nor of valid UTF-8
	sealedVersion = 1
	sealedHeader  = len(sealedMagic) + 2
	nonceSize     = 12
	tagSize       = 16
	aesKeySize    = 32
)

// textKind is the kind of an opaque text. The numbers are part of the sealed form and never change.
type textKind uint8

const (
	noKind        textKind = 0
	noteOfClaim   textKind = 1
	heldOutcome   textKind = 2
	ownersOutcome textKind = 3 // of a completion
	foundOutcome  textKind = 4 // of a resolution as Completed
	noteOfRelease textKind = 5 // of a resolution as Released
)

// place is where a text belongs: its storage key, its run and its kind.
type place struct {
	key   Key
	token Token
	kind  textKind
}

// placeOf returns the place of a record's Outcome. The operation that left the outcome had the token of the record.
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

// mayBeEmpty reports whether the text may be missing. Other texts are sealed even if empty, so that their removal is noticed.
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

// nonce appends the synthetic nonce of a text to a slice.
func (k *recordKey) nonce(to, associated, plain []byte) []byte {
	var sum [sha256.Size]byte

	mac := hmac.New(sha256.New, k.nonces)
	mac.Write(associated)
	mac.Write(plain)

	return append(to, mac.Sum(sum[:0])[:nonceSize]...)
}

// associated returns the associated data of a text: its header and its place.
func (p *place) associated(header []byte) []byte {
	data := make([]byte, 0, len(header)+len(p.key)+len(p.token)+1)

	return append(append(append(append(data, header...), p.key[:]...), p.token[:]...), byte(p.kind))
}

// seal returns the sealed form of a text. Equal arguments yield equal bytes.
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

// isSealed reports whether text begins like a sealed text.
func isSealed(text []byte) bool {
	return len(text) >= len(sealedMagic) && string(text[:len(sealedMagic)]) == sealedMagic
}

// open returns the text of a sealed form, which is never longer. The error matches ErrUnreadable or ErrNewer, or comes from the ring.
func open(ctx context.Context, ring Keyring, at place, text []byte) ([]byte, error) {
	switch {
	case at.kind == noKind:
		return nil, fmt.Errorf("store: opening a record: it has a text that its state does not allow: %w", ErrUnreadable)
	case !isSealed(text):
		return nil, fmt.Errorf("store: opening a record: it is not sealed: use WithUnsealedRecords if older records remain: %w", ErrUnreadable)
	case len(text) > len(sealedMagic) && text[len(sealedMagic)] > sealedVersion:
		return nil, fmt.Errorf("store: opening a record: its text has version %d, and this build knows version %d: %w",
			text[len(sealedMagic)], sealedVersion, ErrNewer)
	case len(text) < sealedHeader, text[len(sealedMagic)] != sealedVersion:
		return nil, fmt.Errorf("store: opening a record: its text of %d bytes has a damaged header: %w", len(text), ErrUnreadable)
	}

	header := sealedHeader + int(text[sealedHeader-1])
	if len(text) < header+nonceSize+tagSize {
		return nil, fmt.Errorf("store: opening a record: its text of %d bytes is cut short: %w", len(text), ErrUnreadable)
	}

	id := string(text[sealedHeader:header])
	if !validKeyID(id) {
		return nil, fmt.Errorf("store: opening a record: its text has an invalid key id: %w", ErrUnreadable)
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
		// The error of the cipher has no details.
		return nil, fmt.Errorf("store: opening a record: its text is damaged, or belongs to another record or state: %w", ErrUnreadable)
	}

	return plain, nil
}

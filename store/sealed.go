package store

import (
	"bytes"
	"context"
	"reflect"
)

// Sealed returns a store that encrypts outcomes and notes before the inner store keeps them. They contain answers and kept requests.
// Readers and copies of the database do not reveal them.
//
// Every text is encrypted and authenticated with AES-256-GCM, and bound to its storage key, its run and the state of its record. A text
// that was changed, cut, or moved to another place is [ErrUnreadable], never an absent record. A sealed text is longer by 33 bytes and the
// id of its key, at most 65 bytes. Empty outcomes are sealed too. sealedtext.go describes the constructions and their sources.
//
// # What is not protected
//
//   - Methods, storage keys, fingerprints, times, states and the sizes of texts stay readable. So do readable keys, except with
//     [WithHashedKeys].
//   - Storage keys and fingerprints are hashes without a secret. Whoever guesses a key or a whole request can verify the guess.
//   - Whoever can write to the database can remove records, change states and times, and remove notes. Calls may then run again. The
//     removal of an outcome alone is noticed.
//
// # The key ring
//
// Texts are sealed under the newest key of the ring. They are opened under the key that they name.
//   - If the ring lacks this key, the operation returns an error that matches [ErrNoKey] and [ErrNewer]. No handler runs.
//   - If the ring cannot answer, the operation fails as if the store were down.
//   - If a key is lost, its records cannot be read. A [Forgetting] with Force removes them.
//
// # Operations
//
// Equal operations have equal sealed bytes, so stores recognise repeats. If the newest key has changed meanwhile, repeats of completions
// and resolutions are recognised by the opened text. A Release passes no note to the inner store.
//
// Sealed has the capabilities of the inner store, with two exceptions:
//   - Immediate and Bounded are kept only with a ring of type *[StaticKeys], because other rings may wait.
//   - Home is the inner store itself if the inner store reports none.
//
// Sealed panics if inner or ring is nil.
func Sealed(inner Store, ring Keyring, opts ...SealedOption) Store {
	if isNil(inner) {
		panic("store: Sealed: the inner store is nil")
	}

	if isNil(ring) {
		panic("store: Sealed: the key ring is nil: check the error of NewStaticKeys")
	}

	s := &sealedStore{inner: inner, ring: ring}
	for _, opt := range opts {
		opt(s)
	}

	can := inner.Capabilities()
	s.can = s.capabilities(can)

	// The engine uses a Direct only if it is the store itself.
	if can.Direct != nil && reflect.ValueOf(inner).Comparable() && any(can.Direct) == any(inner) {
		direct := &sealedDirect{sealedStore: s, direct: can.Direct}
		s.can.Direct = direct

		return direct
	}

	return s
}

func isNil(one any) bool {
	v := reflect.ValueOf(one)

	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// SealedOption configures [Sealed].
type SealedOption func(*sealedStore)

// WithUnsealedRecords also reads records that are not sealed. Without the option they are [ErrUnreadable]. Use it from the first sealed
// write until the last older record has expired. During that time, whoever can write to the database can add unsealed texts. A text that
// begins like a sealed text is always opened as one.
func WithUnsealedRecords() SealedOption { return func(s *sealedStore) { s.readsUnsealed = true } }

// WithSealingOff writes unsealed records, and reads both kinds. Use it for the deployment before the first sealed write, because older
// replicas cannot read sealed records. Use it also to stop sealing.
func WithSealingOff() SealedOption {
	return func(s *sealedStore) { s.readsUnsealed, s.writesUnsealed = true, true }
}

// WithHashedKeys stores a keyed hash in place of readable keys: see [SealKey.HashKey] and [KeyMatches]. The newest key of the ring makes
// the hash. It hides keys that cannot be guessed. Whoever guesses key, scope and method together can verify the guess with the storage key.
func WithHashedKeys() SealedOption { return func(s *sealedStore) { s.hashesKeys = true } }

// sealedStore has no methods beyond Store, so that its abilities are exactly those of its Capabilities.
type sealedStore struct {
	inner Store
	ring  Keyring
	can   Capabilities

	readsUnsealed, writesUnsealed, hashesKeys bool
}

// capabilities wraps the capabilities of the inner store, so that each of them passes sealed texts only.
func (s *sealedStore) capabilities(inner Capabilities) Capabilities {
	_, neverWaits := s.ring.(*StaticKeys)

	can := Capabilities{
		Notifier:         inner.Notifier,
		Immediate:        inner.Immediate && neverWaits,
		Bounded:          inner.Bounded && neverWaits,
		UnknownRetention: inner.UnknownRetention,
		Part:             inner.Part,
		Home:             inner.Home,
	}

	if can.Home == nil && reflect.ValueOf(s.inner).Comparable() {
		can.Home = s.inner
	}

	if inner.Inspector != nil {
		can.Inspector = sealedInspector{s, inner.Inspector}
	}

	if inner.Lister != nil {
		can.Lister = sealedLister{s, inner.Lister}
	}

	if inner.Forgetter != nil {
		can.Forgetter = sealedForgetter{s, inner.Forgetter}
	}

	if inner.Diagnoser != nil {
		can.Diagnoser = sealedDiagnoser{s, inner.Diagnoser}
	}

	if inner.Transactional != nil {
		can.Transactional = sealedTransactional{sealedInspector{s, inner.Transactional}, inner.Transactional}
	}

	return can
}

// Capabilities implements [Store].
func (s *sealedStore) Capabilities() Capabilities { return s.can }

// Claim implements [Store].
func (s *sealedStore) Claim(ctx context.Context, op Claim) (Result, error) {
	own, err := s.sealClaim(ctx, &op)
	if err != nil {
		return Result{}, err
	}

	res, err := s.inner.Claim(ctx, op)

	return s.opened(ctx, &op.Key, &own, res, err)
}

// Renew implements [Store].
func (s *sealedStore) Renew(ctx context.Context, op Renewal) (Result, error) {
	res, err := s.inner.Renew(ctx, op)

	return s.opened(ctx, &op.Key, nil, res, err)
}

// Complete implements [Store].
func (s *sealedStore) Complete(ctx context.Context, op Completion) (Result, error) {
	own, err := s.sealCompletion(ctx, &op)
	if err != nil {
		return Result{}, err
	}

	res, err := s.inner.Complete(ctx, op)
	res, err = s.opened(ctx, &op.Key, &own, res, err)
	res.Applied = res.Applied || err == nil && own.isCompletionOf(&res.Record)

	return res, err
}

// Release implements [Store].
func (s *sealedStore) Release(ctx context.Context, op Release) (Result, error) {
	if err := s.hashKey(ctx, &op.Claim); err != nil {
		return Result{}, err
	}

	op.Claim.Note = nil

	res, err := s.inner.Release(ctx, op)

	return s.opened(ctx, &op.Claim.Key, nil, res, err)
}

// Hold implements [Store].
func (s *sealedStore) Hold(ctx context.Context, op Hold) (Result, error) {
	own, err := s.seal(ctx, place{op.Key, op.Token, heldOutcome}, op.Outcome)
	if err != nil {
		return Result{}, err
	}

	op.Outcome = own.sealed
	res, err := s.inner.Hold(ctx, op)

	return s.opened(ctx, &op.Key, &own, res, err)
}

// sealedDirect is a sealedStore whose inner store implements Direct.
type sealedDirect struct {
	*sealedStore

	direct Direct
}

// ClaimTo implements [Direct].
func (s *sealedDirect) ClaimTo(ctx context.Context, op *Claim, res *Result) error {
	sealed := op // copied only if something changes

	var own sealing

	if len(op.Note) > 0 || s.hashesKeys {
		clone := *op
		sealed = &clone

		var err error
		if own, err = s.sealClaim(ctx, sealed); err != nil {
			*res = Result{}

			return err
		}
	}

	if err := s.direct.ClaimTo(ctx, sealed, res); err != nil {
		return err
	}

	return s.openTo(ctx, &op.Key, &own, res)
}

// CompleteTo implements [Direct].
func (s *sealedDirect) CompleteTo(ctx context.Context, op *Completion, res *Result) error {
	sealed := *op

	own, err := s.sealCompletion(ctx, &sealed)
	if err != nil {
		*res = Result{}

		return err
	}

	if err := s.direct.CompleteTo(ctx, &sealed, res); err != nil {
		return err
	}

	if err := s.openTo(ctx, &op.Key, &own, res); err != nil {
		return err
	}

	res.Applied = res.Applied || own.isCompletionOf(&res.Record)

	return nil
}

// sealing is a text and its sealed form.
type sealing struct {
	at            place
	plain, sealed []byte
}

// isCompletionOf reports whether the completed record has the operation's outcome. The inner store cannot see that if the outcome was
// sealed under another key of the ring, sealed by a resolution, or not sealed.
func (t *sealing) isCompletionOf(rec *Record) bool {
	return rec.State == Completed && rec.Token == t.at.token && bytes.Equal(rec.Outcome, t.plain)
}

// seal seals a text for a place.
func (s *sealedStore) seal(ctx context.Context, at place, plain []byte) (sealing, error) {
	if s.writesUnsealed && !isSealed(plain) || len(plain) == 0 && at.kind.mayBeEmpty() {
		return sealing{at, plain, plain}, nil
	}

	key, err := newestOf(ctx, s.ring)
	if err != nil {
		return sealing{}, err
	}

	sealed, err := key.seal(at, plain)

	return sealing{at, plain, sealed}, err
}

// sealClaim seals the note of a claim and hashes its readable key, in place.
func (s *sealedStore) sealClaim(ctx context.Context, op *Claim) (sealing, error) {
	if err := s.hashKey(ctx, op); err != nil {
		return sealing{}, err
	}

	own, err := s.seal(ctx, place{op.Key, op.Token, noteOfClaim}, op.Note)
	op.Note = own.sealed

	return own, err
}

// sealCompletion seals the outcome of a completion, in place.
func (s *sealedStore) sealCompletion(ctx context.Context, op *Completion) (sealing, error) {
	own, err := s.seal(ctx, place{op.Key, op.Token, ownersOutcome}, op.Outcome)
	op.Outcome = own.sealed

	return own, err
}

// hashKey replaces the readable key of a claim with its hash.
func (s *sealedStore) hashKey(ctx context.Context, op *Claim) error {
	if !s.hashesKeys || op.ReadableKey == "" {
		return nil
	}

	key, err := newestOf(ctx, s.ring)
	if err != nil {
		return err
	}

	op.ReadableKey = key.HashKey(op.ReadableKey)

	return nil
}

// opened is openTo for a result by value.
func (s *sealedStore) opened(ctx context.Context, key *Key, own *sealing, res Result, err error) (Result, error) {
	if err == nil {
		err = s.openTo(ctx, key, own, &res)
	}

	if err != nil {
		return Result{}, err
	}

	return res, nil
}

// openTo opens the text of a record. After an error res is zero. Own is the text that the operation sealed, or nil: if the record has it,
// openTo need not decrypt.
func (s *sealedStore) openTo(ctx context.Context, key *Key, own *sealing, res *Result) error {
	rec := &res.Record
	at := placeOf(key, rec)

	switch {
	case rec.State == Absent:
		return nil
	case len(rec.Outcome) == 0 && (at.kind.mayBeEmpty() || s.readsUnsealed):
		return nil
	case s.readsUnsealed && !isSealed(rec.Outcome):
		return nil
	case own != nil && own.at == at && bytes.Equal(own.sealed, rec.Outcome):
		rec.Outcome = own.plain

		return nil
	}

	plain, err := open(ctx, s.ring, at, rec.Outcome)
	if err != nil {
		*res = Result{}

		return err
	}

	rec.Outcome = plain

	return nil
}

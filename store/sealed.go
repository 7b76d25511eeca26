package store

import (
	"bytes"
	"context"
	"reflect"
)

// Sealed returns a store that encrypts what the records of another store keep of calls: the outcomes, with the answers in them, and the
// notes of claims and resolutions, with kept requests in them. Nobody who reads or copies the database learns them.
//
// A text is encrypted and authenticated with AES-256-GCM. It is bound to its storage key, to the run that left it, and to the state of its
// record. A text that was changed, cut short, or moved to another record, run or state is [ErrUnreadable], and never an absent record. The
// constructions and their sources are in sealedtext.go. A sealed text is at most 65 bytes longer than the text: 33, and the id of its
// key. An empty outcome is sealed too.
//
// # What is not hidden, and not protected
//
//   - Methods, storage keys, fingerprints of requests, times, states and the sizes of texts are stored as they are, and readable keys
//     unless [WithHashedKeys] is there. Storage keys and fingerprints are hashes without a secret: whoever has a guess about a key or a
//     whole request can check it.
//   - Whoever can write to the database can remove records, change states and times, and remove notes. Calls may run again then. A
//     removed outcome is noticed.
//
// # The key ring
//
// Texts are sealed under the newest key of the ring, and read under the key that their record names.
//   - If the ring does not have that key, the record is refused with an error that matches [ErrNoKey] and [ErrNewer]. Nothing runs.
//   - If the ring cannot tell, the operation fails as if the store were down.
//   - If a key is lost, its records cannot be read. [Forgetting] with Force removes them.
//
// # Operations
//
// The same operation has the same sealed bytes, so stores recognise repeats. If the newest key has changed meanwhile, the repeat of a
// completion or a resolution is recognised by the opened text. Releases name no text: notes are not passed on with them.
//
// The store has all abilities of the inner store. [Capabilities].Immediate and Bounded are kept only with a ring of type *[StaticKeys],
// because another ring may wait. If the inner store has no Home, the inner store is the Home.
//
// Sealed panics if the inner store or the ring is nil, which is a programming error.
func Sealed(inner Store, ring Keyring, opts ...SealedOption) Store {
	if isNil(inner) {
		panic("store: Sealed needs a store that is not nil")
	}

	if isNil(ring) {
		panic("store: Sealed needs a key ring that is not nil: see the error of NewStaticKeys")
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

// SealedOption changes a store of [Sealed].
type SealedOption func(*sealedStore)

// WithUnsealedRecords reads records that are not sealed as they are. Without it they are [ErrUnreadable]. It is for the time from
// switching the sealing on until the last older record has expired. Meanwhile whoever can write to the database can put texts into records
// that nobody has sealed. A text that begins as a sealed one does is never taken for an unsealed one.
func WithUnsealedRecords() SealedOption { return func(s *sealedStore) { s.readsUnsealed = true } }

// WithSealingOff writes records that are not sealed, and reads both kinds. It is for the first deployment of a process that will seal,
// because its older replicas cannot read what is sealed, and for the way back.
func WithSealingOff() SealedOption {
	return func(s *sealedStore) { s.readsUnsealed, s.writesUnsealed = true, true }
}

// WithHashedKeys keeps a keyed hash instead of readable keys: see [SealKey.HashKey] and [KeyMatches]. It is made under the newest key
// of the ring. It hides keys that cannot be guessed. A key that can be guessed together with its scope and method can be checked against
// the storage key.
func WithHashedKeys() SealedOption { return func(s *sealedStore) { s.hashesKeys = true } }

// sealedStore has no other methods than Store, so that its abilities are those that it reports.
type sealedStore struct {
	inner Store
	ring  Keyring
	can   Capabilities

	readsUnsealed, writesUnsealed, hashesKeys bool
}

// capabilities are those of the inner store, each of which sees sealed texts only.
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

// sealedDirect is a sealedStore whose inner store decides in place.
type sealedDirect struct {
	*sealedStore

	direct Direct
}

// ClaimTo implements [Direct].
func (s *sealedDirect) ClaimTo(ctx context.Context, op *Claim, res *Result) error {
	sealed := op // a copy is made only of what changes

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

// sealing is a text that an operation seals.
type sealing struct {
	at            place
	plain, sealed []byte
}

// isCompletionOf reports that a completed record has the outcome of an operation. The inner store cannot tell if it was sealed
// differently: under another key of the ring, by somebody else's resolution, or not at all.
func (t *sealing) isCompletionOf(rec *Record) bool {
	return rec.State == Completed && rec.Token == t.at.token && bytes.Equal(rec.Outcome, t.plain)
}

// seal seals a text for its place.
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

// sealClaim changes a claim to the one for the inner store.
func (s *sealedStore) sealClaim(ctx context.Context, op *Claim) (sealing, error) {
	if err := s.hashKey(ctx, op); err != nil {
		return sealing{}, err
	}

	own, err := s.seal(ctx, place{op.Key, op.Token, noteOfClaim}, op.Note)
	op.Note = own.sealed

	return own, err
}

// sealCompletion changes a completion to the one for the inner store.
func (s *sealedStore) sealCompletion(ctx context.Context, op *Completion) (sealing, error) {
	own, err := s.seal(ctx, place{op.Key, op.Token, ownersOutcome}, op.Outcome)
	op.Outcome = own.sealed

	return own, err
}

// hashKey replaces the readable key of a claim.
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

// opened is openTo for a result that is returned. Own may be nil.
func (s *sealedStore) opened(ctx context.Context, key *Key, own *sealing, res Result, err error) (Result, error) {
	if err == nil {
		err = s.openTo(ctx, key, own, &res)
	}

	if err != nil {
		return Result{}, err
	}

	return res, nil
}

// openTo opens the text of a record. After an error the result is zero. Own is the text that the operation has sealed, or nil: if the
// record has that, it need not be opened.
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

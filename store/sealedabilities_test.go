package store_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// able is a store with every ability there is.
type able struct {
	*txstore.Store
}

func (s *able) ClaimTo(ctx context.Context, op *store.Claim, res *store.Result) (err error) {
	*res, err = s.Claim(ctx, *op)

	return err
}

func (s *able) CompleteTo(ctx context.Context, op *store.Completion, res *store.Result) (err error) {
	*res, err = s.Complete(ctx, *op)

	return err
}

func (s *able) Watch(store.Key) (changed <-chan struct{}, stop func()) {
	return make(chan struct{}), func() {}
}

func (s *able) Diagnose(context.Context) []store.Diagnosis {
	return []store.Diagnosis{{Check: "disk", Found: "half full"}}
}

func (s *able) Capabilities() store.Capabilities {
	return store.Capabilities{
		Inspector: s, Lister: s, Forgetter: s, Diagnoser: s, Notifier: s, Direct: s, Transactional: s, Immediate: true, Bounded: true,
		UnknownRetention: time.Hour, Part: func(store.Key) string { return "part" }, Home: "home",
	}
}

// unable is a store with nothing but the operations.
type unable struct{ store.Store }

func (unable) Capabilities() store.Capabilities { return store.Capabilities{} }

// For each new field of Capabilities, decide what a sealed store does with it.
func TestSealedStoresLoseNoAbilityAndAddNone(t *testing.T) {
	t.Parallel()

	inner := &able{txstore.New()}
	sealed := store.Sealed(inner, keys(t, "a"))

	had := reflect.ValueOf(inner.Capabilities())
	has := reflect.ValueOf(sealed.Capabilities())
	none := reflect.ValueOf(store.Sealed(&unable{inner}, keys(t, "a")).Capabilities())
	waits := reflect.ValueOf(store.Sealed(inner, newTurningRing(t)).Capabilities())

	// A sealed store passes these on unchanged.
	same := map[string]bool{"Notifier": true, "Immediate": true, "Bounded": true, "UnknownRetention": true, "Home": true}

	for i := range had.NumField() {
		name := had.Type().Field(i).Name

		if had.Field(i).IsZero() {
			t.Errorf("%s: this test has to give it to its store", name)
		}

		if has.Field(i).IsZero() {
			t.Errorf("%s: the sealed store has lost it", name)
		}

		if name != "Part" && same[name] != reflect.DeepEqual(had.Field(i).Interface(), has.Field(i).Interface()) {
			t.Errorf("%s: it is passed on as it is: %t, want %t", name, !same[name], same[name])
		}

		if !none.Field(i).IsZero() && name != "Home" {
			t.Errorf("%s: the sealed store has it, and the inner store does not", name)
		}

		if isLost := name == "Immediate" || name == "Bounded"; isLost != waits.Field(i).IsZero() {
			t.Errorf("%s: with a ring that may wait it is lost: %t, want %t", name, !isLost, isLost)
		}
	}

	if direct := sealed.Capabilities().Direct; any(direct) != any(sealed) {
		t.Errorf("Direct is a %T, and not the store itself, so that no engine uses it", direct)
	}

	// The operations of a wrapper that passes on a Direct do not go through it.
	if direct := store.Sealed(struct{ store.Store }{inner}, keys(t, "a")).Capabilities().Direct; direct != nil {
		t.Errorf("the store inside of a wrapper is used in place: %T", direct)
	}
}

func TestADiagnosisExaminesTheKeyRingToo(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		ring store.Keyring
		opts []store.SealedOption
		want store.Diagnosis
	}{
		"a whole ring": {ring: keys(t, "a"), want: store.Diagnosis{Found: `the newest key is "a"`}},
		"a ring that is down": {
			ring: &downRing{nil, errDown}, want: store.Diagnosis{Severity: store.SeverityFail, Found: "the key service is down"},
		},
		"a ring without its newest key": {
			ring: oddRing{keys(t, "a"), nil, nil}, want: store.Diagnosis{Severity: store.SeverityFail, Found: "it has no key"},
		},
		"with the sealing off": {
			ring: keys(t, "a"), opts: []store.SealedOption{store.WithSealingOff()},
			want: store.Diagnosis{Severity: store.SeverityWarn, Found: "off"},
		},
		"with unsealed records": {
			ring: keys(t, "a"), opts: []store.SealedOption{store.WithUnsealedRecords()},
			want: store.Diagnosis{Severity: store.SeverityWarn, Found: "unsealed records"},
		},
	} {
		got := store.Sealed(&able{txstore.New()}, tt.ring, tt.opts...).Capabilities().Diagnoser.Diagnose(t.Context())
		if len(got) != 2 || got[0].Check != "disk" || got[1].Check != "key ring" || got[1].Severity != tt.want.Severity ||
			!strings.Contains(got[1].Found, tt.want.Found) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// For each new field of an operation or a record, decide whether it is sealed.
func TestEveryTextOfAnOperationIsSealedOrKnownToBeOpen(t *testing.T) {
	t.Parallel()

	known := map[string]bool{
		"Claim.Note": true, "Claim.Method": true, "Claim.ReadableKey": true, "Completion.Outcome": true, "Hold.Outcome": true,
		"Resolution.Outcome": true, "Record.Outcome": true, "Record.Method": true, "Record.ReadableKey": true,
		"Result.Record": true, "Release.Claim": true,
	}
	found := make(map[string]bool)

	for _, op := range []any{
		store.Claim{}, store.Renewal{}, store.Completion{}, store.Release{}, store.Hold{}, store.Resolution{}, store.Forgetting{},
		store.Record{}, store.Result{},
	} {
		typ := reflect.TypeOf(op)

		for field := range typ.Fields() {
			switch kind := field.Type.Kind(); {
			case kind == reflect.Slice, kind == reflect.String, kind == reflect.Map,
				kind == reflect.Struct && field.Type.PkgPath() == typ.PkgPath() && field.Type != reflect.TypeFor[store.Fingerprint]():
				name := typ.Name() + "." + field.Name
				found[name] = true

				if !known[name] {
					t.Errorf("%s may have a text of callers: seal it, or write down why not", name)
				}
			}
		}
	}

	if len(found) != len(known) {
		t.Errorf("found %v, know %v", found, known)
	}
}

func TestASealedStoreNeedsAStoreAndARing(t *testing.T) {
	t.Parallel()

	var (
		noStore *txstore.Store
		noRing  *store.StaticKeys
	)

	for name, seal := range map[string]func(){
		"no store":       func() { store.Sealed(nil, keys(t, "a")) },
		"a nil store":    func() { store.Sealed(noStore, keys(t, "a")) },
		"no ring":        func() { store.Sealed(txstore.New(), nil) },
		"a ring of none": func() { store.Sealed(txstore.New(), noRing) },
	} {
		func() {
			defer func() {
				if problem := recover(); problem == nil || !strings.HasPrefix(fmt.Sprint(problem), "store: Sealed: the ") {
					t.Errorf("%s: %v", name, problem)
				}
			}()

			seal()
		}()
	}
}

func TestKeysThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()

	for _, id := range []string{"", " ", "a b", "a:b", "é", "a\x00", strings.Repeat("k", store.MaxKeyID+1)} {
		if key, err := store.NewSealKey(id, make([]byte, store.SealKeySize)); err == nil || key != nil {
			t.Errorf("the id %q is accepted", id)
		}
	}

	for _, size := range []int{0, 16, 31, 33, 64} {
		if key, err := store.NewSealKey("a", make([]byte, size)); err == nil || key != nil {
			t.Errorf("a secret of %d bytes is accepted", size)
		}
	}

	for name, ring := range map[string][]*store.SealKey{
		"no newest key":   {nil, sealKey(t, "a")},
		"no older key":    {sealKey(t, "a"), nil},
		"two of one name": {sealKey(t, "a"), sealKey(t, "b"), sealKey(t, "a")},
	} {
		if got, err := store.NewStaticKeys(ring[0], ring[1:]...); err == nil || got != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAKeyNeverPrintsItsSecret(t *testing.T) {
	t.Parallel()

	key := sealKey(t, "xyz")
	raw := strings.Repeat("x", 8)

	if key.ID() != "xyz" {
		t.Errorf("the id is %q", key.ID())
	}

	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		got := fmt.Sprintf(verb, key)
		if got != "key xyz" || strings.Contains(got, raw) || strings.Contains(got, hex.EncodeToString([]byte(raw))) {
			t.Errorf("%s prints %q", verb, got)
		}
	}

	if got := fmt.Sprint((*store.SealKey)(nil)); got != "no key" {
		t.Errorf("no key prints %q", got)
	}
}

// errDown is the error of a ring.
var errDown = errors.New("the key service is down")

func TestF46ASingleTransactionIsRolledBackIfItsOutcomeCannotBeSealed(t *testing.T) {
	t.Parallel()

	ring := &downRing{keys(t, "a"), nil}
	inner := txstore.New()
	tx := store.Sealed(inner, ring).Capabilities().Transactional

	res, open, err := tx.Begin(t.Context(), sealedClaim(1, 1), 0)
	if err != nil || !res.Applied || string(res.Record.Outcome) != secret {
		t.Fatalf("%+v, %v", res, err)
	}

	ring.err = errDown
	op := store.Completion{Key: store.Key{1}, Token: store.Token{1}, Outcome: []byte(secret)}

	res, err = open.Complete(t.Context(), op, false)
	if !errors.Is(err, store.ErrRolledBack) || errors.Is(err, store.ErrConflict) || res.Applied {
		t.Errorf("%+v, %v", res, err)
	}

	_, open, err = tx.Begin(t.Context(), sealedClaim(1, 1), 0)
	if err == nil || open != nil || store.StatusOf(false, err) != store.StatusFailed {
		t.Errorf("a transaction begins although its note cannot be sealed: %v", err)
	}

	ring.err = nil

	if res, err := tx.Lookup(t.Context(), store.Key{1}); err != nil || res.Record.State != store.Absent {
		t.Errorf("something is left: %+v, %v", res, err)
	}

	_, open, err = tx.Begin(t.Context(), sealedClaim(1, 1), 0)
	if err != nil {
		t.Fatal(err)
	}

	if res, err := open.Complete(t.Context(), op, false); err != nil || !res.Applied || string(res.Record.Outcome) != secret {
		t.Errorf("%+v, %v", res, err)
	}

	if res, err := inner.Lookup(t.Context(), store.Key{1}); err != nil || strings.Contains(string(res.Record.Outcome), secret) {
		t.Errorf("the inner store has %q, %v", res.Record.Outcome, err)
	}
}

// stuckTx is a transaction whose rollback may have failed.
type stuckTx struct{ store.Transaction }

func (t stuckTx) Rollback() (held bool, err error) {
	_, _ = t.Transaction.Rollback()

	return false, errDown
}

type stuckStore struct{ *txstore.Store }

func (s stuckStore) Begin(ctx context.Context, op store.Claim, wait time.Duration) (store.Result, store.Transaction, error) {
	res, tx, err := s.Store.Begin(ctx, op, wait)

	return res, stuckTx{tx}, err
}

func (s stuckStore) Capabilities() store.Capabilities {
	return store.Capabilities{Inspector: s, Transactional: s}
}

func TestF46ATransactionWhoseRollbackIsUncertainIsNotReportedAsRolledBack(t *testing.T) {
	t.Parallel()

	ring := &downRing{keys(t, "a"), nil}
	tx := store.Sealed(stuckStore{txstore.New()}, ring).Capabilities().Transactional

	_, open, err := tx.Begin(t.Context(), sealedClaim(1, 1), 0)
	if err != nil {
		t.Fatal(err)
	}

	ring.err = errors.New("another problem")

	res, err := open.Complete(t.Context(), store.Completion{Key: store.Key{1}, Token: store.Token{1}}, false)
	if err == nil || errors.Is(err, store.ErrRolledBack) || !errors.Is(err, errDown) || res.Applied {
		t.Errorf("%+v, %v", res, err)
	}
}

// joinableRun is a run that a handler joins.
type joinableRun struct{ claim store.Claim }

func (r joinableRun) Outcome(response any, err error) (op store.Completion, definite, keep bool, problem error) {
	if err != nil {
		return store.Completion{}, false, false, nil //nolint:nilerr // the handler's error is not a definite outcome
	}

	text, _ := response.(string)

	return store.Completion{Key: r.claim.Key, Token: r.claim.Token, Outcome: []byte(text)}, true, true, nil
}

func (joinableRun) Written(bool)                  {}
func (joinableRun) Refusal(context.Context) error { return nil }

func TestF46AJoinedTransactionWritesWhatIsSealedOrNothing(t *testing.T) {
	t.Parallel()

	ring := &downRing{keys(t, "a"), nil}
	inner := txstore.New()
	sealed := store.Sealed(inner, ring)
	claim := sealedClaim(1, 1)

	if res, err := sealed.Claim(t.Context(), claim); err != nil || !res.Applied {
		t.Fatalf("%+v, %v", res, err)
	}

	ctx := sealed.Capabilities().Transactional.Join(t.Context(), joinableRun{claim})
	ring.err = errDown

	down := inner.Open()
	if err := down.Join(ctx, secret, nil); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("joined without a key: %v", err)
	}

	if err := down.Join(ctx, secret, errDown); err == nil {
		t.Error("an answer that is not definite is joined")
	}

	down.Rollback()

	ring.err = nil
	up := inner.Open()

	if err := errors.Join(up.Join(ctx, secret, nil), up.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}

	res, err := inner.Lookup(t.Context(), claim.Key)
	if err != nil || res.Record.State != store.Completed || strings.Contains(string(res.Record.Outcome), secret) {
		t.Errorf("the inner store has %v with %q, %v", res.Record.State, res.Record.Outcome, err)
	}

	res, err = sealed.Capabilities().Transactional.Lookup(t.Context(), claim.Key)
	if err != nil || string(res.Record.Outcome) != secret {
		t.Errorf("%q, %v", res.Record.Outcome, err)
	}
}

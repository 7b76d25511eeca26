package store_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestF36ATextIsReadInItsOwnPlaceAlone(t *testing.T) {
	t.Parallel()

	type spot struct {
		kind       string
		key, token byte
	}

	spots := make([]spot, 0, 4*len(kindsOfTexts))
	records := make(map[spot]store.Record)

	for kind, write := range kindsOfTexts {
		for _, key := range []byte{1, 2} {
			for _, token := range []byte{1, 2} {
				c := onLedger(t, keys(t, "a"))
				write(c, key, token)
				c.mustRead(key)

				at := spot{kind, key, token}
				spots = append(spots, at)
				records[at] = c.inner.records[store.Key{key}]
			}
		}
	}

	c := onLedger(t, keys(t, "a"))

	for _, from := range spots {
		for _, to := range spots {
			rec := records[to]
			rec.Outcome = records[from].Outcome
			c.inner.records[store.Key{to.key}] = rec

			res, err := c.lookup(to.key)
			if from == to && (err != nil || string(res.Record.Outcome) != secret) {
				t.Errorf("%v: %q, %v", to, res.Record.Outcome, err)
			}

			if from != to && (!errors.Is(err, store.ErrUnreadable) || res.Record.State != store.Absent) {
				t.Errorf("the text of %v is read as that of %v: %q, %v", from, to, res.Record.Outcome, err)
			}
		}
	}
}

func TestF36EveryFlippedBitAndEveryCutOfASealedTextIsNoticed(t *testing.T) {
	t.Parallel()

	c := onLedger(t, keys(t, "a"))
	c.claim(1, 1)
	c.ok(c.complete(1, 1, secret))

	text := []byte(c.inner.text(store.Key{1}))
	notice := func(what string, at int, damaged []byte) {
		t.Helper()
		c.inner.change(store.Key{1}, func(rec *store.Record) { rec.Outcome = damaged })

		for name, res := range map[string]func() (store.Result, error){
			"Lookup":   func() (store.Result, error) { return c.lookup(1) },
			"Claim":    func() (store.Result, error) { return c.store.Claim(t.Context(), sealedClaim(1, 2)) },
			"Complete": func() (store.Result, error) { return c.complete(1, 2, secret) },
		} {
			got, err := res()
			if !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) || !reflect.ValueOf(got).IsZero() {
				t.Errorf("%s %d: %s returns %+v, %v", what, at, name, got, err)
			}
		}
	}

	for bit := range len(text) * 8 {
		damaged := bytes.Clone(text)
		damaged[bit/8] ^= 1 << (bit % 8)
		notice("flipped bit", bit, damaged)
	}

	for n := range text {
		notice("cut after", n, text[:n])
	}

	notice("longer by", 1, append(bytes.Clone(text), 0))
}

// A writer to the database cannot turn an outcome into an empty one.
func TestF36ARemovedOutcomeIsNoticedAndAMissingNoteIsNone(t *testing.T) {
	t.Parallel()

	for kind, write := range kindsOfTexts {
		c := onLedger(t, keys(t, "a"))
		write(c, 1, 1)
		c.inner.change(store.Key{1}, func(rec *store.Record) { rec.Outcome = nil })

		_, err := c.lookup(1)
		if isNote := strings.Contains(kind, "note"); isNote != (err == nil) || !isNote && !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestF36RecordsThatWereNeverSealedAreRefusedUnlessTheyAreAllowed(t *testing.T) {
	t.Parallel()

	for kind, write := range kindsOfTexts {
		c := onLedger(t, keys(t, "a"), store.WithSealingOff())
		write(c, 1, 1)
		c.mustRead(1)

		if c.inner.text(store.Key{1}) != secret {
			t.Errorf("%s: sealed although the sealing is off", kind)
		}

		if _, err := c.under(keys(t, "a")).lookup(1); !errors.Is(err, store.ErrUnreadable) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: an unsealed text has the error %v", kind, err)
		}

		c.under(keys(t, "a"), store.WithUnsealedRecords()).mustRead(1)
	}

	c := onLedger(t, keys(t, "a"), store.WithUnsealedRecords())
	c.claim(1, 1)
	c.mustRead(1)
	c.under(keys(t, "a"), store.WithSealingOff()).mustRead(1)
	c.inner.mustNotHaveSeen(t, secret)

	// A damaged text stays one.
	c.inner.change(store.Key{1}, func(rec *store.Record) { rec.Outcome = append(rec.Outcome, 0) })

	if _, err := c.lookup(1); !errors.Is(err, store.ErrUnreadable) {
		t.Errorf("a damaged text beside unsealed ones: %v", err)
	}
}

func TestF37ASealedTextIsLongerByAConstant(t *testing.T) {
	t.Parallel()

	for _, id := range []string{"a", strings.Repeat("k", store.MaxKeyID)} {
		for _, size := range []int{0, 1, 15, 16, 17, 1000, 1 << 20} {
			c := onLedger(t, keys(t, id))
			c.claim(1, 1)
			c.ok(c.complete(1, 1, strings.Repeat("\x00", size)))

			if got, want := len(c.inner.text(store.Key{1})), size+33+len(id); got != want {
				t.Errorf("%d bytes under a key with an id of %d are sealed in %d bytes, want %d", size, len(id), got, want)
			}
		}
	}
}

// mustRefuse fails unless every operation that needs the text of record 1 is refused with a matching error, and changes
// nothing.
func (c *sealedCase) mustRefuse(match func(err error) bool) {
	c.t.Helper()

	const key = 1

	before := c.inner.records[store.Key{key}]

	for name, op := range map[string]func() (store.Result, error){
		"Lookup": func() (store.Result, error) { return c.lookup(key) },
		"Claim":  func() (store.Result, error) { return c.store.Claim(c.t.Context(), sealedClaim(key, 99)) },
		"Renew": func() (store.Result, error) {
			return c.store.Renew(c.t.Context(), store.Renewal{Key: store.Key{key}, Token: store.Token{99}, Lease: time.Hour})
		},
		"Complete": func() (store.Result, error) { return c.complete(key, 99, secret) },
		"Release": func() (store.Result, error) {
			return c.store.Release(c.t.Context(), store.Release{Claim: sealedClaim(key, 99)})
		},
		"Resolve": func() (store.Result, error) { return c.resolve(key, 99, store.Completed, secret) },
		"Forget": func() (store.Result, error) {
			return c.store.Capabilities().Forgetter.Forget(c.t.Context(), store.Forgetting{Key: store.Key{key}, Token: store.Token{99}})
		},
	} {
		res, err := op()
		if err == nil || !match(err) || !reflect.ValueOf(res).IsZero() {
			c.t.Errorf("%s: %+v, %v", name, res, err)
		}

		if err != nil && strings.Contains(err.Error(), secret) {
			c.t.Errorf("%s: the error tells the text: %v", name, err)
		}
	}

	if after := c.inner.records[store.Key{key}]; !reflect.DeepEqual(before, after) {
		c.t.Errorf("the record was changed from %+v to %+v", before, after)
	}
}

func isMissing(err error) bool {
	return errors.Is(err, store.ErrNoKey) && errors.Is(err, store.ErrNewer) && !errors.Is(err, store.ErrUnreadable)
}

// Engines send operations again, and stores recognise that by the bytes.
func TestARepeatedOperationHasTheSameBytes(t *testing.T) {
	t.Parallel()

	first := make(map[string]string)

	for range 2 {
		for kind, write := range kindsOfTexts {
			for _, key := range []byte{1, 2} {
				for _, token := range []byte{1, 2} {
					c := onLedger(t, keys(t, "a"))
					write(c, key, token)

					name := string([]byte{'0' + key, '0' + token}) + kind
					text := c.inner.text(store.Key{key})

					if before, ok := first[name]; ok && before != text {
						t.Errorf("%s: sealed again, it is %x, and was %x", name, text, before)
					}

					first[name] = text
				}
			}
		}
	}

	// The same text elsewhere shows no likeness.
	distinct := slices.Collect(maps.Values(first))
	slices.Sort(distinct)

	if n := len(slices.Compact(distinct)); n != len(kindsOfTexts)*4 {
		t.Errorf("%d places have %d different texts", len(kindsOfTexts)*4, n)
	}
}

func TestARepeatAfterARotationIsRecognisedByItsText(t *testing.T) {
	t.Parallel()

	old := onLedger(t, keys(t, "a", "b"))
	turned := old.under(keys(t, "b", "a"))

	old.claim(1, 1)
	old.ok(old.complete(1, 1, secret))
	turned.ok(turned.complete(1, 1, secret))

	for name, other := range map[string]func() (store.Result, error){
		"another outcome": func() (store.Result, error) { return turned.complete(1, 1, secret+"!") },
		"another token":   func() (store.Result, error) { return turned.complete(1, 2, secret) },
	} {
		if res, err := other(); err != nil || res.Applied || string(res.Record.Outcome) != secret {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}

	old.claim(2, 1)
	old.hold(2, 1)
	old.ok(old.resolve(2, 1, store.Completed, secret))
	turned.ok(turned.resolve(2, 1, store.Completed, secret))
	turned.ok(turned.complete(2, 1, secret)) // the late owner completes with the same answer

	for name, other := range map[string]func() (store.Result, error){
		"another outcome":         func() (store.Result, error) { return turned.resolve(2, 1, store.Completed, secret+"!") },
		"another token":           func() (store.Result, error) { return turned.resolve(2, 2, store.Completed, secret) },
		"another state":           func() (store.Result, error) { return turned.resolve(2, 1, store.Released, secret) },
		"of the owner's":          func() (store.Result, error) { return turned.resolve(1, 1, store.Completed, secret) },
		"an outcome of the owner": func() (store.Result, error) { return turned.complete(2, 1, "") },
	} {
		if res, err := other(); err != nil || res.Applied || string(res.Record.Outcome) != secret {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

func TestNothingUnsealedReachesTheInnerStore(t *testing.T) {
	t.Parallel()

	inner := newLedger()

	for name, s := range map[string]store.Store{
		"by value": store.Sealed(inner, keys(t, "a"), store.WithHashedKeys()),
		"in place": store.Sealed(&directLedger{inner}, keys(t, "a"), store.WithHashedKeys()),
	} {
		for kind, write := range kindsOfTexts {
			c := &sealedCase{t, inner, s}
			write(c, 1, 1)
			c.mustRead(1)

			_, err := s.Release(t.Context(), store.Release{Claim: sealedClaim(2, 2)})
			if err != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
			}

			if direct := s.Capabilities().Direct; direct != nil {
				var res store.Result

				claim := sealedClaim(3, 3)
				if err := direct.ClaimTo(t.Context(), &claim, &res); err != nil || string(res.Record.Outcome) != secret {
					t.Errorf("%s: %q, %v", name, res.Record.Outcome, err)
				}

				op := store.Completion{Key: claim.Key, Token: claim.Token, Outcome: []byte(secret)}
				if err := direct.CompleteTo(t.Context(), &op, &res); err != nil || string(res.Record.Outcome) != secret {
					t.Errorf("%s: %q, %v", name, res.Record.Outcome, err)
				}
			}

			clear(inner.records)
		}
	}

	if len(inner.seen) == 0 {
		t.Fatal("the inner store has seen nothing")
	}

	inner.mustNotHaveSeen(t, secret)
	inner.mustNotHaveSeen(t, "order-7")
}

// directLedger is a ledger that decides in place.
type directLedger struct{ *ledger }

func (l *directLedger) ClaimTo(ctx context.Context, op *store.Claim, res *store.Result) (err error) {
	*res, err = l.Claim(ctx, *op)

	return err
}

func (l *directLedger) CompleteTo(ctx context.Context, op *store.Completion, res *store.Result) (err error) {
	*res, err = l.Complete(ctx, *op)

	return err
}

func (l *directLedger) Capabilities() store.Capabilities {
	can := l.ledger.Capabilities()
	can.Direct = l

	return can
}

func TestHashedKeysAreFoundByTheKeysOfTheRing(t *testing.T) {
	t.Parallel()

	c := onLedger(t, keys(t, "a"), store.WithHashedKeys())
	c.claim(1, 1)

	if _, err := c.store.Release(t.Context(), store.Release{Claim: sealedClaim(2, 1)}); err != nil {
		t.Fatal(err)
	}

	rotated := keys(t, "b", "a")

	for key := range c.inner.records {
		res, err := c.lookup(key[0])
		hashed := res.Record.ReadableKey

		if err != nil || hashed != sealKey(t, "a").HashKey("order-7") || len(hashed) != 2+32 {
			t.Errorf("%q, %v", hashed, err)
		}

		for readable, want := range map[string]bool{"order-7": true, "order-8": false, "": false, hashed: false} {
			if is, err := store.KeyMatches(t.Context(), rotated, hashed, readable); is != want || err != nil {
				t.Errorf("%q is the key of %q: %t, %v", readable, hashed, is, err)
			}
		}

		if _, err := store.KeyMatches(t.Context(), keys(t, "b"), hashed, "order-7"); !isMissing(err) {
			t.Errorf("without the key: %v", err)
		}
	}

	for _, notHashed := range []string{"", "order-7", ":", "a b:00"} {
		if is, err := store.KeyMatches(t.Context(), rotated, notHashed, "order-7"); is || err != nil {
			t.Errorf("%q: %t, %v", notHashed, is, err)
		}
	}

	if sealKey(t, "a").HashKey("") != "" || sealKey(t, "a").HashKey("k") == sealKey(t, "b").HashKey("k") {
		t.Error("the hash of no key is not empty, or the hashes of two keys of the ring are equal")
	}
}

func TestTwoSealedStoresOnOneStoreAreAtHomeInOnePlace(t *testing.T) {
	t.Parallel()

	inner := memstore.New()

	one, two := store.Sealed(inner, keys(t, "a")), store.Sealed(inner, keys(t, "a"))
	if home := one.Capabilities().Home; home == nil || home != two.Capabilities().Home {
		t.Errorf("homes %v and %v", home, two.Capabilities().Home)
	}
}

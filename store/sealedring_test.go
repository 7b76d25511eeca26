package store_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestF46ARotatedRingReadsOldRecordsAndSealsUnderTheNewestKey(t *testing.T) {
	t.Parallel()

	for kind, write := range kindsOfTexts {
		before := onLedger(t, keys(t, "a"))
		write(before, 1, 1)

		after := before.under(keys(t, "b", "a"))
		after.mustRead(1)
		write(after, 2, 2)
		after.mustRead(2)

		if text := after.inner.text(store.Key{2}); !strings.HasPrefix(text[4:], "\x01b") {
			t.Errorf("%s: sealed under another key than the newest: %q", kind, text)
		}

		after.under(keys(t, "c", "a", "b")).mustRead(2)
	}
}

func TestF46AMissingKeyRefusesAndTheRecordIsNeverAbsent(t *testing.T) {
	t.Parallel()

	c := onLedger(t, keys(t, "b"))
	c.claim(1, 1)
	c.hold(1, 1)
	c.under(keys(t, "a")).mustRefuse(isMissing)

	// A ring may answer with another key than the one requested. Then it counts as not having the key.
	c.under(oddRing{keys(t, "a"), sealKey(t, "a"), nil}).mustRefuse(isMissing)
	c.under(oddRing{keys(t, "a"), nil, nil}).mustRefuse(isMissing)

	// Another secret under the same id is another key.
	other, err := store.NewSealKey("b", bytes.Repeat([]byte("x"), store.SealKeySize))
	if err != nil {
		t.Fatal(err)
	}

	ring, err := store.NewStaticKeys(other)
	if err != nil {
		t.Fatal(err)
	}

	c.under(ring).mustRefuse(func(err error) bool { return errors.Is(err, store.ErrUnreadable) })
	c.mustRead(1)
}

// oddRing answers each Key with the same.
type oddRing struct {
	*store.StaticKeys

	key *store.SealKey
	err error
}

func (r oddRing) Key(context.Context, string) (*store.SealKey, error) { return r.key, r.err }

// downRing is a ring that cannot tell.
type downRing struct {
	store.Keyring

	err error
}

func (r *downRing) Newest(ctx context.Context) (*store.SealKey, error) {
	if r.err != nil {
		return nil, r.err
	}

	return r.Keyring.Newest(ctx)
}

func (r *downRing) Key(ctx context.Context, id string) (*store.SealKey, error) {
	if r.err != nil {
		return nil, r.err
	}

	return r.Keyring.Key(ctx, id)
}

func TestF46ARingThatFailsCountsAsAStoreThatIsDown(t *testing.T) {
	t.Parallel()

	// Any error of the ring but ErrNoKey is no statement about the record.
	for _, down := range []error{
		errors.New("no route to the key service"), context.DeadlineExceeded, store.ErrUnreadable, store.ErrFull, store.ErrNewer,
		store.ErrRolledBack,
	} {
		ring := &downRing{keys(t, "a"), nil}
		c := onLedger(t, ring)
		c.claim(1, 1)
		c.hold(1, 1)

		ring.err = down
		reached := len(c.inner.seen)

		c.mustRefuse(func(err error) bool {
			isTimeout := errors.Is(down, context.DeadlineExceeded)

			return store.StatusOf(false, err) == store.StatusFailed && !isTimeout ||
				store.StatusOf(false, err) == store.StatusTimeout && isTimeout
		})

		for _, op := range c.inner.seen[reached:] {
			if claim, ok := op.(store.Claim); ok && len(claim.Note) > 0 {
				t.Errorf("a claim has reached the store, and its note was not sealed: %+v", claim)
			}
		}

		ring.err = nil
		c.mustRead(1)
		c.ok(c.complete(1, 1, secret))
		c.mustRead(1)
	}
}

func TestF46AListNamesTheRecordsWhoseKeyIsMissingAndGoesOn(t *testing.T) {
	t.Parallel()

	old, rotated := "a", "b"
	c := onLedger(t, keys(t, rotated))

	for key := range byte(3) {
		c.claim(key, 1)
		c.hold(key, 1)
	}

	c.under(keys(t, old)).claim(8, 1)
	c.under(keys(t, old)).hold(8, 1)
	c.under(keys(t, old)).claim(9, 1)

	var read, missing []store.Key

	for listed, err := range c.under(keys(t, old)).store.Capabilities().Lister.ListUnknown(t.Context()) {
		switch {
		case err == nil:
			read = append(read, listed.Key)
		case isMissing(err):
			missing = append(missing, listed.Key)
		default:
			t.Error(err)
		}
	}

	if len(read) != 1 || read[0] != (store.Key{8}) || len(missing) != 3 {
		t.Errorf("read %v, without their key %v", read, missing)
	}

	for listed, err := range c.under(keys(t, old)).store.Capabilities().Lister.ListRunning(t.Context()) {
		if err != nil || listed.Key != (store.Key{9}) || string(listed.Result.Record.Outcome) != secret {
			t.Errorf("%v: %q, %v", listed.Key, listed.Result.Record.Outcome, err)
		}
	}

	ends := 0
	for _, err := range c.under(&downRing{nil, errors.New("down")}).store.Capabilities().Lister.ListUnknown(t.Context()) {
		ends++

		if err == nil {
			t.Error("a record is read without keys")
		}
	}

	if ends != 1 {
		t.Errorf("a list without keys has %d elements, want one error", ends)
	}
}

// The records of a lost key can at least be freed.
func TestF46ARecordWhoseKeyIsLostIsForgottenByForceAlone(t *testing.T) {
	t.Parallel()

	c := onLedger(t, keys(t, "a"))
	c.claim(1, 1)
	c.hold(1, 1)

	lost := c.under(keys(t, "b"))
	forget := func(force bool) (store.Result, error) {
		return lost.store.Capabilities().Forgetter.Forget(t.Context(), store.Forgetting{Key: store.Key{1}, Force: force})
	}

	if res, err := forget(false); !isMissing(err) || res.Applied {
		t.Errorf("without force: %+v, %v", res, err)
	}

	if res, err := forget(true); err != nil || !res.Applied {
		t.Errorf("with force: %+v, %v", res, err)
	}

	// A record that can be read is protected by its token and its fence.
	c.claim(2, 1)

	res, err := c.store.Capabilities().Forgetter.Forget(t.Context(), store.Forgetting{Key: store.Key{2}, Force: true})
	if err != nil || res.Applied || string(res.Record.Outcome) != secret {
		t.Errorf("another token: %+v, %v", res, err)
	}
}

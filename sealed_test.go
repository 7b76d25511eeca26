package onlyonce_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// keyring is a ring of keys, the newest first. While it is down, it returns an error.
type keyring struct {
	*store.StaticKeys

	down atomic.Bool
}

var errKeysDown = errors.New("the key service is down")

func (r *keyring) Newest(ctx context.Context) (*store.SealKey, error) {
	if r.down.Load() {
		return nil, errKeysDown
	}

	return r.StaticKeys.Newest(ctx)
}

func (r *keyring) Key(ctx context.Context, id string) (*store.SealKey, error) {
	if r.down.Load() {
		return nil, errKeysDown
	}

	return r.StaticKeys.Key(ctx, id)
}

func newKeyring(t *testing.T, ids ...string) *keyring {
	t.Helper()

	ring := make([]*store.SealKey, 0, len(ids))

	for _, id := range ids {
		key, err := store.NewSealKey(id, bytes.Repeat([]byte(id), store.SealKeySize))
		if err != nil {
			t.Fatal(err)
		}

		ring = append(ring, key)
	}

	static, err := store.NewStaticKeys(ring[0], ring[1:]...)
	if err != nil {
		t.Fatal(err)
	}

	return &keyring{StaticKeys: static}
}

// bothGuarantees runs a test under both guarantees: an unreadable record is never taken over, even if a duplicate could
// take over others.
func bothGuarantees(t *testing.T, test func(t *testing.T, opt onlyonce.Option)) {
	t.Helper()

	for _, g := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		t.Run(g.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, withGuarantee(g)) })
		})
	}
}

func TestF46AnswersOfEveryKeyOfTheRingAreReplayed(t *testing.T) {
	bothGuarantees(t, func(t *testing.T, opt onlyonce.Option) {
		t.Helper()

		records := memstore.New()

		var p payments

		for i, ring := range []*keyring{newKeyring(t, "a"), newKeyring(t, "b", "a"), newKeyring(t, "c", "b", "a")} {
			e := newEngine(t, store.Sealed(records, ring), opt)

			for _, key := range []string{"first", "second", "third"}[:i+1] {
				if got := do(t, e, pay(key), p.do); got.err != nil {
					t.Errorf("ring %d, key %s: %v", i, key, got.err)
				}
			}
		}

		p.mustHaveRun(t, 3)
	})
}

func TestF46AMissingKeyRefusesAndRunsNothing(t *testing.T) {
	bothGuarantees(t, func(t *testing.T, opt onlyonce.Option) {
		t.Helper()

		records := memstore.New()
		sealed := store.Sealed(records, newKeyring(t, "b", "a"))
		with := newEngine(t, sealed, opt)
		without := newEngine(t, store.Sealed(records, newKeyring(t, "a")), opt)

		var p payments

		_ = do(t, with, pay("completed"), p.do)

		// An owner has died, and under AtLeastOnce a duplicate may take over.
		abandoned, err := with.Lookup(t.Context(), identity("abandoned"))
		if err != nil {
			t.Fatal(err)
		}

		_, err = sealed.Claim(t.Context(), store.Claim{
			Key: abandoned.ID, Token: store.Token{1}, Guarantee: store.AtLeastOnce, Lease: time.Second, MaxRun: time.Second,
			Retention: time.Hour, Note: []byte("note"),
		})
		if err != nil {
			t.Fatal(err)
		}

		time.Sleep(time.Minute)

		for _, key := range []string{"completed", "abandoned"} {
			got := do(t, without, pay(key), p.do)
			rejection := got.rejection(t, onlyonce.ReasonRecordNewer)
			if rejection.RetryAfter <= 0 || !strings.Contains(rejection.Message, "encryption key") {
				t.Errorf("%s: %+v", key, rejection)
			}

			if !errors.Is(got.err, store.ErrNoKey) || onlyonce.VerdictOf(got.err) != onlyonce.VerdictUnknown {
				t.Errorf("%s: %v, %v", key, got.err, onlyonce.VerdictOf(got.err))
			}

			if rec, err := without.Lookup(t.Context(), identity(key)); !errors.Is(err, store.ErrNoKey) {
				t.Errorf("%s: %v, %v", key, rec.State, err)
			}
		}

		p.mustHaveRun(t, 1)

		if got := do(t, with, pay("completed"), p.do); got.err != nil || string(got.Body) != "#1" {
			t.Errorf("with the key: %q, %v", got.Body, got.err)
		}
	})
}

func TestF46AKeyServiceThatIsDownIsAStoreThatIsDown(t *testing.T) {
	bothGuarantees(t, func(t *testing.T, opt onlyonce.Option) {
		t.Helper()

		ring := newKeyring(t, "a")
		records := memstore.New()
		e := newEngine(t, store.Sealed(records, ring), opt)

		var p payments

		_ = do(t, e, pay("before"), p.do)

		// The keyring is down when a record has to be read.
		ring.down.Store(true)
		do(t, e, pay("before"), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		p.mustHaveRun(t, 1)

		// The keyring goes down during the run: the outcome is written when the keyring is back.
		ring.down.Store(false)
		got := inBackground(t.Context(), e, pay("during"), func(ctx context.Context) ([]byte, error) {
			ring.down.Store(true)

			return p.do(ctx)
		})

		time.Sleep(time.Minute)
		synctest.Wait()

		ring.down.Store(false)

		<-got
		time.Sleep(10 * time.Minute)
		synctest.Wait()

		again := do(t, e, pay("during"), p.do)
		if again.err != nil || string(again.Body) != "#2" {
			t.Errorf("%q, %v", again.Body, again.err)
		}

		p.mustHaveRun(t, 2)
	})
}

// The plain text of a record appears neither in the store nor in errors about an unreadable record.
func TestF36SealedAnswersAreSwappedInVain(t *testing.T) {
	t.Parallel()

	s := newFaultStore()
	e := newEngine(t, store.Sealed(s, newKeyring(t, "a")))

	var (
		p    payments
		kept [][]byte
	)

	for _, key := range []string{"k", "l"} {
		_ = do(t, e, pay(key), p.do)
	}

	s.rewriteAnswers(func(rec *store.Record) { kept = append(kept, rec.Outcome) })

	for _, key := range []string{"k", "l"} {
		_ = do(t, e, pay(key), p.do)
	}

	for _, text := range kept {
		if bytes.Contains(text, []byte("OK")) || bytes.Contains(text, []byte("#")) && len(text) < 20 {
			t.Errorf("the store has %q", text)
		}
	}

	s.rewriteAnswers(func(rec *store.Record) { rec.Outcome = kept[0] })

	got := do(t, e, pay("l"), p.do)
	got.mustBeRejected(t, onlyonce.ReasonRecordUnreadable)

	if !errors.Is(got.err, store.ErrUnreadable) || strings.Contains(got.err.Error(), "#") {
		t.Error(got.err)
	}

	p.mustHaveRun(t, 2)
}

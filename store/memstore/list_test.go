package memstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// hold leaves the outcomes of so many keys of one shard unknown.
func hold(t *testing.T, s *Store, keys int) {
	t.Helper()

	for n := range keys {
		claim := store.Claim{
			Key: store.Key{0, byte(n), byte(n >> 8)}, Token: store.Token{1}, Guarantee: store.AtMostOnce, Lease: time.Hour, Retention: time.Hour,
		}

		if res, err := s.Claim(t.Context(), claim); err != nil || !res.Applied {
			t.Fatalf("claim: applied=%t, error %v", res.Applied, err)
		}

		if res, err := s.Hold(t.Context(), store.Hold{Key: claim.Key, Token: claim.Token}); err != nil || !res.Applied {
			t.Fatalf("hold: applied=%t, error %v", res.Applied, err)
		}
	}
}

func TestEveryUnknownRecordIsListedOnceHoweverManyThereAre(t *testing.T) {
	t.Parallel()

	const keys = 3*slabsPerRead*slabSize + 1 // more than are read under one lock

	s := New()
	hold(t, s, keys)

	listed := make(map[store.Key]bool)

	for one, err := range s.ListUnknown(t.Context()) {
		if err != nil || listed[one.Key] || one.Result.Record.State != store.Unknown {
			t.Fatalf("listed: %+v, error %v, listed before: %t", one, err, listed[one.Key])
		}

		listed[one.Key] = true
	}

	if len(listed) != keys {
		t.Errorf("%d records are listed, must be %d", len(listed), keys)
	}
}

// A list holds no lock while its records are used.
func TestRecordsCanBeRemovedWhileTheyAreListed(t *testing.T) {
	t.Parallel()

	const keys = 3 * slabsPerRead * slabSize

	s := New()
	hold(t, s, keys)

	for one, err := range s.ListUnknown(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}

		op := store.Forgetting{Key: one.Key, Token: one.Result.Record.Token, Fence: one.Result.Record.Fence, Force: true}
		if res, err := s.Forget(t.Context(), op); err != nil || !res.Applied {
			t.Fatalf("forgetting: applied=%t, error %v", res.Applied, err)
		}
	}

	if got := s.Len(); got != 0 {
		t.Errorf("%d records were not listed", got)
	}

	s.shards[0].check(t)
}

// comeAndGo claims and forgets keys of the first shard, so that slabs and their memory come and go as well.
func comeAndGo(t *testing.T, s *Store) {
	t.Helper()

	const keys = 3 * slabSize

	claim := store.Claim{Token: store.Token{2}, Guarantee: store.AtMostOnce, Lease: time.Hour, Retention: time.Hour}

	for n := range keys {
		claim.Key = store.Key{0, byte(n), 0, 1}

		if res, err := s.Claim(t.Context(), claim); err != nil || !res.Applied {
			t.Errorf("claim: applied=%t, error %v", res.Applied, err)
		}
	}

	for n := range keys {
		op := store.Forgetting{Key: store.Key{0, byte(n), 0, 1}, Token: claim.Token, Fence: 1, Force: true}

		if res, err := s.Forget(t.Context(), op); err != nil || !res.Applied {
			t.Errorf("forgetting: applied=%t, error %v", res.Applied, err)
		}
	}
}

// For the race detector.
func TestARecordIsListedOnceWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()

	const keys = 2*slabsPerRead*slabSize + 1

	s := New()
	hold(t, s, keys)

	var others sync.WaitGroup
	defer others.Wait()

	for range 10 {
		others.Go(func() { comeAndGo(t, s) })

		listed := make(map[store.Key]bool)

		for one, err := range s.ListUnknown(t.Context()) {
			if err != nil || listed[one.Key] || one.Result.Record.Token != (store.Token{1}) {
				t.Fatalf("listed: %+v, error %v, listed before: %t", one, err, listed[one.Key])
			}

			listed[one.Key] = true
		}

		if len(listed) != keys {
			t.Errorf("%d records are listed, must be %d", len(listed), keys)
		}

		others.Wait()
	}
}

func TestAListEndsWithItsContext(t *testing.T) {
	t.Parallel()

	s := New()
	hold(t, s, 2*slabsPerRead*slabSize)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	listed := 0

	for _, err := range s.ListUnknown(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}

			break
		}

		listed++

		cancel()
	}

	if listed > slabsPerRead*slabSize {
		t.Errorf("%d records are listed after the context has ended", listed)
	}
}

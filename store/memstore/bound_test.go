package memstore_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// full checks that the error is ErrFull and names the bound.
func full(t *testing.T, err error, bound string) {
	t.Helper()

	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("the error is %v, must match store.ErrFull", err)
	}

	if !strings.Contains(err.Error(), bound) {
		t.Errorf("the error is %q, must say %q", err, bound)
	}
}

func TestAFullStoreRefusesNewKeysAndKeepsEveryRecord(t *testing.T) {
	t.Parallel()

	const records = 200

	s := memstore.New(memstore.WithMaxRecords(records))
	for i := range records {
		claim(t, s, i)
	}

	_, err := s.Claim(t.Context(), aClaim(records))
	full(t, err, "the store would exceed the 200 records of WithMaxRecords")

	_, err = s.Release(t.Context(), store.Release{Claim: aClaim(records)})
	full(t, err, "WithMaxRecords")

	if got := s.Len(); got != records {
		t.Errorf("Len is %d, must be %d", got, records)
	}

	for i := range records {
		if res := complete(t, s, i, []byte("outcome")); !res.Applied {
			t.Fatalf("record %d was lost: %v", i, res.Record.State)
		}
	}
}

func TestWhatIsThereWorksOnWhileTheStoreIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.WithMaxRecords(1))
		claim(t, s, 1)

		if !claim(t, s, 1).Applied {
			t.Error("the copy of a claim is not recognised")
		}

		time.Sleep(time.Minute)

		next := keptFor(1, 2*time.Minute)
		next.Token, next.Fence = store.Token{9}, 1

		if res, err := s.Claim(t.Context(), next); !must(t, res, err).Applied {
			t.Error("a takeover is refused")
		}

		res, err := s.Release(t.Context(), store.Release{Claim: next})
		if !must(t, res, err).Applied {
			t.Error("a release is refused")
		}

		_, err = s.Claim(t.Context(), aClaim(2))
		full(t, err, "WithMaxRecords")

		time.Sleep(2 * time.Minute)

		if !claim(t, s, 1).Applied {
			t.Error("a claim is refused that finds its own record expired")
		}
	})
}

func TestExpiryFreesAFullStoreWhateverShardItIsInAndNoOperationRemovesAllOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const (
			records   = 1000
			sameShard = 256 // keys this far apart are in the same shard
			elsewhere = 1
			most      = 4 // records that one claim removes: two before the store finds itself full, and two of each shard
		)

		s := memstore.New(memstore.WithMaxRecords(records))
		for i := range records - 1 {
			run(t, s, i*sameShard, time.Minute)
		}

		run(t, s, (records-1)*sameShard, time.Hour)
		time.Sleep(time.Minute - 1)

		_, err := s.Claim(t.Context(), aClaim(elsewhere))
		full(t, err, "WithMaxRecords")

		if got := s.Len(); got != records {
			t.Errorf("Len is %d before anything has expired, must be %d", got, records)
		}

		time.Sleep(time.Nanosecond)
		claim(t, s, elsewhere)

		if removed := records + 1 - s.Len(); removed < 1 || removed > most {
			t.Errorf("a full store has removed %d expired records for one claim, must be 1 to %d", removed, most)
		}

		res, err := s.Lookup(t.Context(), keyOf((records-1)*sameShard))
		if got := must(t, res, err).Record.State; got != store.Completed {
			t.Errorf("the record that has not expired is %v", got)
		}
	})
}

func TestBytesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 100_000

		s := memstore.New(memstore.WithMaxBytes(limit))

		for i := range 2 {
			res, err := s.Claim(t.Context(), keptFor(1+i, time.Minute))
			must(t, res, err)
		}

		// An outcome is kept even beyond the bound.
		big := bytes.Repeat([]byte{1}, limit)
		complete(t, s, 1, big)

		if got := s.Bytes(); got < limit {
			t.Errorf("Bytes is %d, must be more than the outcome of %d bytes", got, limit)
		}

		_, err := s.Claim(t.Context(), aClaim(3))
		full(t, err, "the store would exceed the 100000 bytes of WithMaxBytes")

		if !complete(t, s, 2, big).Applied {
			t.Error("an outcome is lost to the bound")
		}

		if got := s.Len(); got != 2 {
			t.Errorf("Len is %d after a refusal, must be 2", got)
		}

		time.Sleep(time.Minute)
		claim(t, s, 3)

		if got := s.Len(); got != 1 {
			t.Errorf("Len is %d, must be 1", got)
		}
	})
}

func TestManyExpiredRecordsMakeRoomForALargeOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const (
			records   = 100
			sameShard = 256
			limit     = 100_000
		)

		s := memstore.New(memstore.WithMaxBytes(limit))
		for i := range records {
			run(t, s, i*sameShard, time.Minute)
		}

		time.Sleep(time.Minute)

		large := aClaim(1)
		large.ReadableKey = strings.Repeat("k", limit-10*int(s.Bytes())/records)

		res, err := s.Claim(t.Context(), large)
		must(t, res, err)

		large.Key, large.ReadableKey = keyOf(2), large.ReadableKey[1:]
		_, err = s.Claim(t.Context(), large)
		full(t, err, "WithMaxBytes")
	})
}

func TestReadableKeysCountAsBytes(t *testing.T) {
	t.Parallel()

	s := memstore.New(memstore.WithMaxBytes(1 << 20))
	long := aClaim(1)
	long.ReadableKey = strings.Repeat("k", 1<<20)

	_, err := s.Claim(t.Context(), long)
	full(t, err, "WithMaxBytes")

	long.ReadableKey = long.ReadableKey[:1<<19]
	res, err := s.Claim(t.Context(), long)
	must(t, res, err)

	if got := s.Bytes(); got < 1<<19 {
		t.Errorf("Bytes is %d, must be more than the key of %d", got, 1<<19)
	}
}

func TestCountsReturnToZero(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const records = 500

		s := memstore.New(memstore.WithMaxRecords(records))

		for i := range records {
			res, err := s.Claim(t.Context(), keptFor(i, time.Duration(1+i)))
			must(t, res, err)

			held := store.Hold{Key: keyOf(i), Token: aClaim(i).Token, Outcome: []byte("what is known")}
			res, err = s.Hold(t.Context(), held)
			must(t, res, err)
			complete(t, s, i, bytes.Repeat([]byte{1}, i))
		}

		time.Sleep(time.Minute)

		// One operation removes a few records, so these lookups remove them all.
		for i := range 2 * records {
			res, err := s.Lookup(t.Context(), keyOf(i))
			must(t, res, err)
		}

		if s.Len() != 0 || s.Bytes() != 0 {
			t.Errorf("when all has expired, %d records with %d bytes are counted", s.Len(), s.Bytes())
		}
	})
}

func TestTheBoundHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()

	const (
		records = 100
		workers = 16
	)

	var (
		s    = memstore.New(memstore.WithMaxRecords(records))
		wg   sync.WaitGroup
		wins atomic.Int64
	)

	for w := range workers {
		wg.Go(func() {
			for i := range records {
				res, err := s.Claim(t.Context(), aClaim(w*records+i))
				if err != nil && !errors.Is(err, store.ErrFull) {
					t.Error(err)
				}

				if res.Applied {
					wins.Add(1)
				}
			}
		})
	}

	wg.Wait()

	if got := s.Len(); got != records || wins.Load() != records {
		t.Errorf("%d claims won and Len is %d, must be %d", wins.Load(), got, records)
	}
}

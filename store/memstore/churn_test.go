package memstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// outcomeOf is the outcome of the n-th record, of a size of its own.
func outcomeOf(n uint64) []byte {
	return bytes.Repeat(binary.BigEndian.AppendUint64(nil, n), int(n%9))
}

// churn claims and completes records that expire after milliseconds, and reads those of other workers. It rereads its
// results after a while.
func churn(ctx context.Context, t *testing.T, s *Store, worker uint64) {
	t.Helper()

	const (
		workers = 32
		own     = 200
	)

	random := rand.New(rand.NewPCG(worker, uint64(time.Now().UnixNano())))
	read := make(map[uint64][]byte)

	check := func(n uint64, outcome []byte) {
		if !bytes.Equal(outcome, outcomeOf(n)) {
			t.Errorf("record %d has the outcome %x", n, outcome)
		}
	}

	for i := range uint64(own) {
		n := worker*own + i
		claim := store.Claim{
			Guarantee: store.AtMostOnce, Lease: time.Minute, MaxRun: time.Minute,
			Retention: time.Duration(1+random.IntN(30)) * time.Millisecond, Method: string(rune('a' + n%7)),
		}

		binary.BigEndian.PutUint64(claim.Key[:], n*0x9E3779B97F4A7C15)
		binary.BigEndian.PutUint64(claim.Token[:], n+1)

		if res, err := s.Claim(ctx, claim); err != nil || !res.Applied {
			t.Errorf("claim %d: %+v, %v", n, res, err)
		}

		if res, err := s.Complete(ctx, store.Completion{Key: claim.Key, Token: claim.Token, Outcome: outcomeOf(n)}); err != nil || !res.Applied {
			t.Errorf("completion %d: %+v, %v", n, res, err)
		}

		n = random.Uint64N(workers * own)
		binary.BigEndian.PutUint64(claim.Key[:], n*0x9E3779B97F4A7C15)

		res, err := s.Lookup(ctx, claim.Key)
		if err != nil {
			t.Errorf("lookup %d: %v", n, err)
		}

		if rec := res.Record; rec.State == store.Completed {
			check(n, rec.Outcome)

			read[n] = rec.Outcome

			if want := string(rune('a' + n%7)); rec.Method != want {
				t.Errorf("record %d has the method %q, want %q", n, rec.Method, want)
			}
		}

		time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
	}

	for n, outcome := range read {
		check(n, outcome)
	}
}

// For the race detector: a place, and the number of its method, are reused as soon as the record has expired.
func TestWhatWasReadStaysAsItWasWhenItsPlaceIsUsedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New()

		var wg sync.WaitGroup

		for worker := range uint64(32) {
			wg.Go(func() { churn(t.Context(), t, s, worker) })
		}

		wg.Wait()
		time.Sleep(time.Second)

		for i := range s.shards {
			s.shards[i].sweep(s, math.MaxInt)
		}

		if s.Len() != 0 || s.Bytes() != 0 {
			t.Errorf("%d records of %d bytes are counted when all have expired", s.Len(), s.Bytes())
		}
	})
}

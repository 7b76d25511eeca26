package memstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// heapBytes is the memory of all that is reachable.
func heapBytes() int64 {
	var stats runtime.MemStats

	runtime.GC()
	runtime.ReadMemStats(&stats)

	return int64(stats.HeapAlloc)
}

// settle claims and completes the n-th key. All records share an outcome, and each has a readable key of 35 bytes.
func settle(ctx context.Context, s *Store, n uint64, outcome []byte) error {
	claim := store.Claim{
		Guarantee: store.AtMostOnce, Lease: time.Minute, MaxRun: time.Minute, Retention: time.Hour,
		Method: "/shop.v1.Orders/Create", ReadableKey: fmt.Sprintf("order-%029d", n),
	}

	binary.BigEndian.PutUint64(claim.Key[:], n*0x9E3779B97F4A7C15)
	binary.BigEndian.PutUint64(claim.Key[8:], n)
	binary.BigEndian.PutUint64(claim.Token[:], n+1)

	if _, err := s.Claim(ctx, claim); err != nil {
		return err
	}

	_, err := s.Complete(ctx, store.Completion{Key: claim.Key, Token: claim.Token, Outcome: outcome})

	return err
}

// The test is not parallel, so no other test runs at the same time.
func TestARecordTakesLittleMemoryAndGivesItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			records = 100_000
			most    = 310     // the store's share, and 48 for a readable key of 35 bytes
			left    = 2 << 20 // when all have gone: two slabs in each shard, and the lists of slabs and chunks
		)

		outcome := []byte("one outcome that all records share")
		before := heapBytes()
		s := New()

		for n := range uint64(records) {
			if err := settle(t.Context(), s, n, outcome); err != nil {
				t.Fatal(err)
			}
		}

		if got := (heapBytes() - before) / records; got > most {
			t.Errorf("a record takes %d bytes of memory, must be at most %d", got, most)
		}

		// The bytes that the store counts and bounds are the bytes that it takes.
		if counted, taken := s.Bytes(), heapBytes()-before; counted < taken*9/10 || counted > taken*12/10 {
			t.Errorf("%d bytes are counted, and %d are taken", counted, taken)
		}

		time.Sleep(time.Hour)

		for i := range s.shards {
			s.shards[i].sweep(s, math.MaxInt)
		}

		if got := heapBytes() - before; got > left {
			t.Errorf("%d bytes are left when all records have gone, must be at most %d", got, left)
		}

		runtime.KeepAlive(s)
	})
}

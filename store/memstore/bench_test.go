package memstore_test

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// benchClaim is a claim of the n-th key, in one of many scopes or in none.
func benchClaim(n, scopes uint64) store.Claim {
	claim := store.Claim{
		Guarantee: store.AtMostOnce, Lease: time.Minute, MaxRun: time.Minute, Retention: time.Second, Method: "/shop.v1.Orders/Create",
	}
	if scopes > 0 {
		claim.Scope = 1 + n%scopes
	}

	binary.LittleEndian.PutUint64(claim.Key[:], n*0x9E3779B97F4A7C15)
	binary.LittleEndian.PutUint64(claim.Token[:], n+1)

	return claim
}

func benchEach(b *testing.B, run func(b *testing.B, s *memstore.Store, scopes uint64)) {
	b.Helper()

	for _, scopes := range []uint64{0, 1, 10_000} {
		b.Run(fmt.Sprintf("%d scopes", scopes), func(b *testing.B) {
			b.ReportAllocs()
			run(b, memstore.New(memstore.WithMaxRecords(1<<40), memstore.WithMaxBytes(1<<50)), scopes)
		})
	}
}

// BenchmarkRun claims and completes one new key after the other, on both of which an expired record is removed.
func BenchmarkRun(b *testing.B) {
	benchEach(b, func(b *testing.B, s *memstore.Store, scopes uint64) {
		b.Helper()

		var n atomic.Uint64

		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				claim := benchClaim(n.Add(1), scopes)

				if res, err := s.Claim(b.Context(), claim); err != nil || !res.Applied {
					b.Error(res.Applied, err)
				}

				if res, err := s.Complete(b.Context(), store.Completion{Key: claim.Key, Token: claim.Token}); err != nil || !res.Applied {
					b.Error(res.Applied, err)
				}
			}
		})
	})
}

// BenchmarkReplay claims a key that is completed.
func BenchmarkReplay(b *testing.B) {
	benchEach(b, func(b *testing.B, s *memstore.Store, scopes uint64) {
		b.Helper()

		claim := benchClaim(1, scopes)
		claim.Retention = time.Hour

		if _, err := s.Claim(b.Context(), claim); err != nil {
			b.Fatal(err)
		}

		if _, err := s.Complete(b.Context(), store.Completion{Key: claim.Key, Token: claim.Token}); err != nil {
			b.Fatal(err)
		}

		claim.Token = store.Token{9}

		for b.Loop() {
			if res, err := s.Claim(b.Context(), claim); err != nil || res.Record.State != store.Completed {
				b.Fatal(res.Record.State, err)
			}
		}
	})
}

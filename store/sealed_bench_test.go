package store_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// sealedCall makes the store operations of a first call and one replay.
func sealedCall(tb testing.TB, direct store.Direct, n uint32, outcome []byte) {
	tb.Helper()

	claim := store.Claim{
		Key: store.Key{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}, Token: store.Token{byte(n), byte(n >> 8), byte(n >> 16), 1},
		Guarantee: store.AtMostOnce, Lease: time.Minute, MaxRun: time.Minute, Retention: time.Hour,
	}

	var res store.Result
	if err := direct.ClaimTo(tb.Context(), &claim, &res); err != nil || !res.Applied {
		tb.Fatal(err)
	}

	op := store.Completion{Key: claim.Key, Token: claim.Token, Outcome: outcome}
	if err := direct.CompleteTo(tb.Context(), &op, &res); err != nil || !res.Applied {
		tb.Fatal(err)
	}

	claim.Token[15] = 2
	if err := direct.ClaimTo(tb.Context(), &claim, &res); err != nil || res.Applied || !bytes.Equal(res.Record.Outcome, outcome) {
		tb.Fatal(err, res.Applied)
	}
}

// BenchmarkSealed measures a first call and one replay in memory, without sealing and with it.
func BenchmarkSealed(b *testing.B) {
	for _, size := range []int{200, 4096} {
		outcome := bytes.Repeat([]byte("o"), size)

		for name, wrap := range map[string]func(s store.Store) store.Store{
			"open":   func(s store.Store) store.Store { return s },
			"sealed": func(s store.Store) store.Store { return store.Sealed(s, keys(b, "a")) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				const most = 10_000 // records in a store, so that none is full

				var direct store.Direct

				b.ReportAllocs()

				for n := uint32(0); b.Loop(); n++ {
					if n%most == 0 {
						direct = wrap(memstore.New()).Capabilities().Direct
					}

					sealedCall(b, direct, n, outcome)
				}
			})
		}
	}
}

// mostSealedAllocations bounds the allocations of a first call and a replay that seal one outcome and open it once.
const mostSealedAllocations = 50

func TestSealingAllocatesLittle(t *testing.T) {
	outcome := bytes.Repeat([]byte("o"), 200)
	cost := func(s store.Store) float64 {
		n := uint32(0)

		return testing.AllocsPerRun(1000, func() {
			n++
			sealedCall(t, s.Capabilities().Direct, n, outcome)
		})
	}

	open, sealed := cost(memstore.New()), cost(store.Sealed(memstore.New(), keys(t, "a")))
	if sealed-open > mostSealedAllocations {
		t.Errorf("a call and a replay allocate %.0f times, %.0f times without sealing: at most %d more", sealed, open, mostSealedAllocations)
	}
}

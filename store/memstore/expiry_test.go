package memstore

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// cycle releases and claims a key.
func cycle(t *testing.T, s *Store, key store.Key, fence uint64, retention time.Duration) {
	t.Helper()

	claim := store.Claim{
		Key: key, Token: store.Token{byte(fence), byte(fence >> 8), byte(fence >> 16), 1}, Fence: fence,
		Guarantee: store.AtMostOnce, Lease: time.Minute, Retention: retention,
	}
	if res, err := s.Claim(t.Context(), claim); err != nil || !res.Applied {
		t.Fatalf("claim with fence %d: applied=%t, error %v", fence, res.Applied, err)
	}

	if res, err := s.Release(t.Context(), store.Release{Claim: claim}); err != nil || !res.Applied {
		t.Fatalf("release with fence %d: applied=%t, error %v", fence, res.Applied, err)
	}
}

func TestAKeyThatIsReleasedOverAndOverTakesNoMemory(t *testing.T) {
	t.Parallel()

	// While the clock stands still, several keys have equal expiries.
	for name, tc := range map[string]struct {
		keys  int
		sleep time.Duration
	}{
		"one key":                                 {1, 1},
		"one key, while the clock stands still":   {1, 0},
		"two keys":                                {2, 1},
		"two keys, while the clock stands still":  {2, 0},
		"many keys, while the clock stands still": {40, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const cycles = 100_000

				s := New()
				largest := 0

				for i := range uint64(cycles / tc.keys) {
					for k := range tc.keys {
						cycle(t, s, store.Key{1: byte(k)}, i, time.Hour)
					}

					largest = max(largest, int(s.shards[0].expiries.heap.len))

					time.Sleep(tc.sleep)
				}

				if largest > tc.keys {
					t.Errorf("%d expiries were kept for %d records", largest, tc.keys)
				}

				if got := s.Len(); got != tc.keys {
					t.Errorf("Len is %d, must be %d", got, tc.keys)
				}

				time.Sleep(time.Hour)

				for k := range tc.keys {
					res, err := s.Lookup(t.Context(), store.Key{1: byte(k)})
					if err != nil || res.Record.State != store.Absent {
						t.Errorf("after the retention the record is %v, error %v", res.Record.State, err)
					}
				}

				s.shards[0].sweep(s, math.MaxInt)

				if got := s.Len(); got != 0 {
					t.Errorf("Len is %d after the retention, must be 0", got)
				}
			})
		})
	}
}

func TestAnEarlierExpiryRemovesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New()
		key := store.Key{1}

		cycle(t, s, key, 0, time.Minute)
		cycle(t, s, key, 1, time.Hour)

		running := store.Claim{Key: store.Key{1, 1}, Token: store.Token{1}, Guarantee: store.AtMostOnce}
		if res, err := s.Claim(t.Context(), running); err != nil || !res.Applied {
			t.Fatalf("claim: applied=%t, error %v", res.Applied, err)
		}

		time.Sleep(time.Minute)
		s.shards[1].sweep(s, math.MaxInt)

		if got := s.Len(); got != 2 {
			t.Errorf("Len is %d when the earlier of two retentions ends, must be 2", got)
		}

		time.Sleep(time.Hour - time.Minute - 1)
		s.shards[1].sweep(s, math.MaxInt)

		if got := s.Len(); got != 2 {
			t.Errorf("Len is %d just before the retention ends, must be 2", got)
		}

		time.Sleep(time.Nanosecond)
		s.shards[1].sweep(s, math.MaxInt)

		if got := s.Len(); got != 1 {
			t.Errorf("Len is %d when the retention ends, must be 1: the running record does not expire", got)
		}
	})
}

func TestAnOperationRemovesAFewExpiredRecordsOfItsShard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const records = 11

		s := New()
		for i := range byte(records) {
			cycle(t, s, store.Key{0, i}, 0, time.Minute)
		}

		time.Sleep(time.Minute)

		for left := records; left > 0; {
			if _, err := s.Lookup(t.Context(), store.Key{0, 255}); err != nil {
				t.Fatal(err)
			}

			left = max(0, left-expirePerOperation)
			if got := s.Len(); got != left {
				t.Fatalf("Len is %d, must be %d", got, left)
			}
		}
	})
}

// Removal keeps up with insertion: the store does not grow while as many records expire as are added.
func TestTheStoreDoesNotGrowUnderSteadyLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const live = 1000

		s := New()
		for i := range 20 * live {
			cycle(t, s, store.Key{byte(i), byte(i >> 8), byte(i >> 16)}, 0, live*time.Millisecond)
			time.Sleep(time.Millisecond)

			if got := s.Len(); got > live+2*shardCount {
				t.Fatalf("%d records are kept where %d are live", got, live)
			}
		}
	})
}

func TestTimesRoundTrip(t *testing.T) {
	t.Parallel()

	latest := time.Unix(0, math.MaxInt64)

	for _, at := range []time.Time{
		{}, time.Unix(0, 1), time.Unix(0, -1), time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC), latest,
	} {
		if got := timeOf(nanos(at)); !got.Equal(at) {
			t.Errorf("%v is kept as %v", at, got)
		}
	}

	if got := nanos(latest.Add(1)); got != math.MaxInt64 {
		t.Errorf("a time after the latest is kept as %d", got)
	}
}

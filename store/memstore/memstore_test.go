package memstore_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store { return memstore.New() }, storetest.InBubble())
}

// A bounded store keeps the contract for the records that it has room for.
func TestContractWhenBounded(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store {
		return memstore.New(memstore.WithMaxRecords(1000), memstore.WithMaxBytes(1<<20))
	}, storetest.InBubble())
}

// A store that removes unsettled records after a retention keeps the contract until then.
func TestContractWithAnUnknownRetention(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store {
		return memstore.New(memstore.WithUnknownRetention(30*24*time.Hour), memstore.WithScopeShare(1))
	}, storetest.InBubble())
}

// aClaim is a claim of one of many keys.
func aClaim(n int) store.Claim {
	return store.Claim{
		Key:       keyOf(n),
		Token:     store.Token{1, byte(n), byte(n >> 8), byte(n >> 16)},
		Guarantee: store.AtLeastOnce,
		Lease:     time.Minute,
		MaxRun:    time.Minute,
		Retention: time.Hour,
	}
}

// keptFor is a claim with a retention of its own.
func keptFor(n int, retention time.Duration) store.Claim {
	claim := aClaim(n)
	claim.Retention = retention

	return claim
}

// keyOf spreads keys over all shards.
func keyOf(n int) store.Key { return store.Key{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)} }

// must returns the result of an operation that must not fail.
func must(t *testing.T, res store.Result, err error) store.Result {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}

	return res
}

func claim(t *testing.T, s *memstore.Store, n int) store.Result {
	t.Helper()
	res, err := s.Claim(t.Context(), aClaim(n))

	return must(t, res, err)
}

func complete(t *testing.T, s *memstore.Store, n int, outcome []byte) store.Result {
	t.Helper()
	res, err := s.Complete(t.Context(), store.Completion{Key: keyOf(n), Token: aClaim(n).Token, Outcome: outcome})

	return must(t, res, err)
}

// run claims and completes a key.
func run(t *testing.T, s *memstore.Store, n int, retention time.Duration) {
	t.Helper()
	res, err := s.Claim(t.Context(), keptFor(n, retention))
	must(t, res, err)
	complete(t, s, n, nil)
}

func TestARetentionBeyondTheLatestTimeDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const forever = 1<<63 - 1

		s := memstore.New()
		run(t, s, 1, forever)
		time.Sleep(365 * 24 * time.Hour)

		other := aClaim(1)
		other.Token = store.Token{9}

		res, err := s.Claim(t.Context(), other)
		if res = must(t, res, err); res.Applied || res.Record.State != store.Completed {
			t.Errorf("a claim within the retention: applied=%t, the record is %v", res.Applied, res.Record.State)
		}
	})
}

func TestALeaseBeyondTheLatestTimeDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const forever = 1<<63 - 1

		s := memstore.New()
		own := aClaim(1)
		own.Lease, own.MaxRun = forever, forever

		res, err := s.Claim(t.Context(), own)
		must(t, res, err)
		time.Sleep(365 * 24 * time.Hour)

		other := aClaim(1)
		other.Token, other.Fence = store.Token{9}, 1

		res, err = s.Claim(t.Context(), other)
		if res = must(t, res, err); res.Applied {
			t.Error("a lease without end has ended")
		}
	})
}

// Two stores made at the same moment agree on the time. Neither reads the wall clock again: each counts the time since then.
func TestClockCountsFromConstruction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := memstore.New()

		time.Sleep(90 * time.Minute)

		res, err := s.Lookup(t.Context(), keyOf(1))
		if got := must(t, res, err).Now; !got.Equal(begin.Add(90 * time.Minute)) {
			t.Errorf("after 90 minutes the clock shows %v, must be %v", got, begin.Add(90*time.Minute))
		}
	})
}

func TestF68_OptionsPanicOutsideTheirRangeAndNameIt(t *testing.T) {
	t.Parallel()

	for what, tc := range map[string]struct {
		option  func()
		message string
	}{
		"no records":           {func() { memstore.WithMaxRecords(0) }, "WithMaxRecords(0): give 1 or more"},
		"fewer than none":      {func() { memstore.WithMaxRecords(-1) }, "give 1 or more"},
		"no bytes":             {func() { memstore.WithMaxBytes(0) }, "WithMaxBytes(0): give 4096 or more"},
		"a byte too few":       {func() { memstore.WithMaxBytes(4095) }, "give 4096 or more"},
		"no share":             {func() { memstore.WithScopeShare(0) }, "WithScopeShare(0): give more than 0 and up to 1"},
		"a negative share":     {func() { memstore.WithScopeShare(-0.5) }, "give more than 0 and up to 1"},
		"more than all":        {func() { memstore.WithScopeShare(1.0001) }, "give more than 0 and up to 1"},
		"no number":            {func() { memstore.WithScopeShare(math.NaN()) }, "give more than 0 and up to 1"},
		"more than any number": {func() { memstore.WithScopeShare(math.Inf(1)) }, "give more than 0 and up to 1"},
		"a life too short":     {func() { memstore.WithUnknownRetention(time.Hour - 1) }, "give 0, for the life of the process, or 1h0m0s"},
		"a negative life":      {func() { memstore.WithUnknownRetention(-1) }, "or 1h0m0s or more"},
	} {
		func() {
			defer func() {
				if message := fmt.Sprint(recover()); !strings.Contains(message, tc.message) {
					t.Errorf("%s: the panic is %q, must say %q", what, message, tc.message)
				}
			}()
			tc.option()
		}()
	}
}

func TestF68_OptionsHoldAtTheEndsOfTheirRange(t *testing.T) {
	t.Parallel()

	for what, opts := range map[string][]memstore.Option{
		"the least": {
			memstore.WithMaxRecords(1), memstore.WithMaxBytes(4096), memstore.WithScopeShare(math.SmallestNonzeroFloat64),
			memstore.WithUnknownRetention(time.Hour),
		},
		"the most": {
			memstore.WithMaxRecords(math.MaxInt), memstore.WithMaxBytes(math.MaxInt64), memstore.WithScopeShare(1),
			memstore.WithUnknownRetention(math.MaxInt64),
		},
		"next to the most": {
			memstore.WithMaxRecords(math.MaxInt), memstore.WithMaxBytes(math.MaxInt64), memstore.WithScopeShare(math.Nextafter(1, 0)),
		},
		"no unknown retention": {memstore.WithUnknownRetention(0)},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New(opts...)
				claim := aClaim(1)
				claim.Scope, claim.ReadableKey = 1, strings.Repeat("k", 255)

				res, err := s.Claim(t.Context(), claim)
				must(t, res, err)

				if !res.Applied {
					t.Error("a first claim does not win")
				}

				time.Sleep(claim.Lease + claim.MaxRun)

				res, err = s.Hold(t.Context(), store.Hold{Key: claim.Key, Token: claim.Token})
				must(t, res, err)

				if !res.Applied {
					t.Errorf("the owner's hold is refused: the record is %v", res.Record.State)
				}

				time.Sleep(time.Hour - 1)

				res, err = s.Lookup(t.Context(), claim.Key)
				must(t, res, err)

				if res.Record.State != store.Unknown {
					t.Errorf("an hour later the record is %v", res.Record.State)
				}

				if life := s.Capabilities().UnknownRetention; life != 0 && res.Record.ExpiresAt.Before(res.Now) {
					t.Errorf("with an unknown retention of %v, the record expires at %v", life, res.Record.ExpiresAt)
				}
			})
		})
	}
}

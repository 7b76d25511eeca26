package memstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ store.Store     = (*memstore.Store)(nil)
	_ store.Inspector = (*memstore.Store)(nil)
	_ store.Lister    = (*memstore.Store)(nil)
	_ store.Notifier  = (*memstore.Store)(nil)
	_ store.Immediate = (*memstore.Store)(nil)
)

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store { return memstore.New() }, storetest.InBubble())
}

// A store that is full of other records keeps the contract for those that it has room for.
func TestContractWhenBounded(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store {
		return memstore.New(memstore.WithMaxRecords(1000), memstore.WithMaxBytes(1<<20))
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
	}
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

func complete(t *testing.T, s *memstore.Store, n int, outcome []byte, retention time.Duration) store.Result {
	t.Helper()
	res, err := s.Complete(t.Context(), store.Completion{
		Key: keyOf(n), Token: aClaim(n).Token, Outcome: outcome, Retention: retention,
	})

	return must(t, res, err)
}

// run claims and completes a key.
func run(t *testing.T, s *memstore.Store, n int, retention time.Duration) {
	t.Helper()
	claim(t, s, n)
	complete(t, s, n, nil, retention)
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

// Two stores made at the same moment agree on the time although neither asks the wall clock again: it only counts what has
// passed since.
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

func TestOptionsPanicWhenTheyMakeNoSense(t *testing.T) {
	t.Parallel()

	for name, option := range map[string]func(){
		"WithMaxRecords(0)": func() { memstore.WithMaxRecords(0) },
		"WithMaxBytes(0)":   func() { memstore.WithMaxBytes(0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			option()
		}()
	}
}

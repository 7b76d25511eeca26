package memstore_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// in is a claim by a scope.
func in(scope uint64, n int) store.Claim {
	claim := aClaim(n)
	claim.Scope = scope

	return claim
}

// hold leaves the outcome of a claim unknown.
func hold(t *testing.T, s *memstore.Store, claim store.Claim) {
	t.Helper()

	res, err := s.Claim(t.Context(), claim)
	must(t, res, err)

	res, err = s.Hold(t.Context(), store.Hold{Key: claim.Key, Token: claim.Token})
	must(t, res, err)
}

// fillUp leaves unknown records of one scope behind until the store refuses one. It returns their number, and the error.
func fillUp(t *testing.T, s *memstore.Store, scope uint64) (n int, err error) {
	t.Helper()

	for ; ; n++ {
		claim := in(scope, n)
		if _, err := s.Claim(t.Context(), claim); err != nil {
			return n, err
		}

		res, err := s.Hold(t.Context(), store.Hold{Key: claim.Key, Token: claim.Token})
		must(t, res, err)
	}
}

func TestF72_UnknownRecordsOfOneScopeLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.WithMaxRecords(100))

		n, err := fillUp(t, s, 1)
		full(t, err, "the caller's scope would exceed its share, 50 of the 100 records of WithMaxRecords")
		full(t, err, "WithScopeShare")

		if n != 50 {
			t.Errorf("a scope keeps %d records, must be 50", n)
		}

		// The share still holds after a year without settlements.
		time.Sleep(365 * 24 * time.Hour)

		if _, err = s.Claim(t.Context(), in(1, 1000)); !errors.Is(err, store.ErrFull) {
			t.Errorf("a scope that has used up its share: %v", err)
		}

		res, err := s.Claim(t.Context(), in(2, 1000))
		must(t, res, err)

		if !res.Applied {
			t.Error("another scope does not get in")
		}

		if got := s.Len(); got != 51 {
			t.Errorf("Len is %d, must be 51: no unknown record expires", got)
		}
	})
}

func TestF72_UnknownRecordsExpireAfterTheUnknownRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const life = 2 * time.Hour

		s := memstore.New(memstore.WithMaxRecords(100), memstore.WithUnknownRetention(life))

		if n, _ := fillUp(t, s, 1); n != 50 {
			t.Fatalf("a scope keeps %d records, must be 50", n)
		}

		time.Sleep(life - 1)

		_, err := s.Claim(t.Context(), in(1, 1000))
		full(t, err, "its share")

		time.Sleep(time.Nanosecond)

		for listed, err := range s.ListUnknown(t.Context()) {
			t.Errorf("%v is listed after the unknown retention, %v", listed.Key, err)
		}

		// All of them make room, among them for the very keys that they had.
		for n := range 50 {
			res, err := s.Claim(t.Context(), in(1, 20+n))
			must(t, res, err)

			if !res.Applied || res.Record.Fence != 1 {
				t.Errorf("claim %d after the unknown retention: applied=%t with fence %d", n, res.Applied, res.Record.Fence)
			}
		}

		_, err = s.Claim(t.Context(), in(1, 1000))
		full(t, err, "its share")
	})
}

func TestF72_ARecordThatGoesGivesItsPlaceBack(t *testing.T) {
	t.Parallel()

	for name, leave := range map[string]func(t *testing.T, s *memstore.Store, claim store.Claim){
		"it expires": func(t *testing.T, s *memstore.Store, claim store.Claim) {
			t.Helper()

			res, err := s.Complete(t.Context(), store.Completion{Key: claim.Key, Token: claim.Token})
			must(t, res, err)
			time.Sleep(claim.Retention)
		},
		"it is forgotten": func(t *testing.T, s *memstore.Store, claim store.Claim) {
			t.Helper()

			res, err := s.Forget(t.Context(), store.Forgetting{Key: claim.Key, Token: claim.Token, Fence: 1, Force: true})
			must(t, res, err)

			if !res.Applied {
				t.Error("it is not forgotten")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New(memstore.WithMaxRecords(4))

				for n := range 2 {
					hold(t, s, in(1, n))
				}

				_, err := s.Claim(t.Context(), in(1, 1000))
				full(t, err, "its share")

				leave(t, s, in(1, 0))
				hold(t, s, in(1, 1000))

				_, err = s.Claim(t.Context(), in(1, 1001))
				full(t, err, "its share")

				if got := s.Len(); got != 2 {
					t.Errorf("Len is %d, must be 2", got)
				}
			})
		})
	}
}

func TestF72_BytesHaveAShareToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 100_000

		s := memstore.New(memstore.WithMaxBytes(limit))

		res, err := s.Claim(t.Context(), in(1, 1))
		must(t, res, err)
		complete(t, s, 1, bytes.Repeat([]byte{1}, limit/2))

		_, err = s.Claim(t.Context(), in(1, 2))
		full(t, err, "the caller's scope would exceed its share, 50000 of the 100000 bytes of WithMaxBytes")

		res, err = s.Claim(t.Context(), in(2, 2))
		must(t, res, err)

		time.Sleep(aClaim(1).Retention)

		res, err = s.Claim(t.Context(), in(1, 3))
		must(t, res, err)
	})
}

func TestF72_ATombstoneCountsForItsScope(t *testing.T) {
	t.Parallel()

	s := memstore.New(memstore.WithMaxRecords(2))

	res, err := s.Release(t.Context(), store.Release{Claim: in(1, 1)})
	must(t, res, err)

	_, err = s.Release(t.Context(), store.Release{Claim: in(1, 2)})
	full(t, err, "its share")
}

func TestThoseWhoShareAScopeOnPurposeMayFillTheStore(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		scope uint64
		share float64
		want  int
	}{
		"scope 0":                 {0, 0.01, 100},
		"a share of 1":            {1, 1, 100},
		"a third":                 {1, 1.0 / 3, 33},
		"a share of next to none": {1, 1e-300, 1},
	} {
		s := memstore.New(memstore.WithMaxRecords(100), memstore.WithScopeShare(tc.share))

		if n, err := fillUp(t, s, tc.scope); n != tc.want || !errors.Is(err, store.ErrFull) {
			t.Errorf("%s: %d records are kept, must be %d; %v", name, n, tc.want, err)
		}
	}
}

func TestAnUnsettledRecordLivesOnWhatItsOwnerWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const life = time.Hour

		s := memstore.New(memstore.WithUnknownRetention(life))
		claim := in(1, 1)
		res, err := s.Claim(t.Context(), claim)
		must(t, res, err)

		there := func(want bool, when string) {
			t.Helper()

			res, err := s.Lookup(t.Context(), claim.Key)
			if got := must(t, res, err).Record.State != store.Absent; got != want {
				t.Errorf("the record is there %s: %t, must be %t", when, got, want)
			}
		}

		time.Sleep(life / 2)

		res, err = s.Renew(t.Context(), store.Renewal{Key: claim.Key, Token: claim.Token, Lease: time.Minute})
		must(t, res, err)
		time.Sleep(life - 1)
		there(true, "an unknown retention after the renewal, less a moment")

		res, err = s.Hold(t.Context(), store.Hold{Key: claim.Key, Token: claim.Token})
		must(t, res, err)
		time.Sleep(life / 2)

		// The release of a withdrawn claim does not keep the record alive.
		withdrawn := in(1, 1)
		withdrawn.Token, withdrawn.Fence = store.Token{9}, res.Record.Fence
		res, err = s.Release(t.Context(), store.Release{Claim: withdrawn})
		must(t, res, err)

		time.Sleep(life/2 - 1)
		there(true, "an unknown retention after the hold, less a moment")
		time.Sleep(time.Nanosecond)
		there(false, "an unknown retention after the hold")
	})
}

func TestAnUnsettledRecordStaysWhileItsOwnerMayBeAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.WithUnknownRetention(time.Hour))
		claim := in(1, 1)
		claim.MaxRun = 3 * time.Hour

		res, err := s.Claim(t.Context(), claim)
		until := must(t, res, err).Record.OwnerAliveUntil
		time.Sleep(time.Until(until) - 1)

		res, err = s.Lookup(t.Context(), claim.Key)
		must(t, res, err)

		if res.Record.State != store.Running {
			t.Errorf("the record of an owner who may be alive is %v", res.Record.State)
		}

		time.Sleep(time.Nanosecond)

		res, err = s.Lookup(t.Context(), claim.Key)
		must(t, res, err)

		if res.Record.State != store.Absent {
			t.Errorf("the record of an owner who is dead is %v", res.Record.State)
		}
	})
}

func TestForgettingLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		run(t, s, 1, time.Hour)

		changed, stop := s.Watch(keyOf(1))
		defer stop()

		res, err := s.Forget(t.Context(), store.Forgetting{Key: keyOf(1), Token: aClaim(1).Token, Fence: 1})
		must(t, res, err)

		if !res.Applied || s.Len() != 0 || s.Bytes() != 0 {
			t.Errorf("a forgetting: applied=%t, and %d records with %d bytes are counted", res.Applied, s.Len(), s.Bytes())
		}

		select {
		case <-changed:
		default:
			t.Error("a forgetting does not wake those who watch the record")
		}

		// The expiry of the life before does not end the next one.
		run(t, s, 1, 2*time.Hour)
		time.Sleep(time.Hour)

		res, err = s.Lookup(t.Context(), keyOf(1))
		must(t, res, err)

		if res.Record.State != store.Completed {
			t.Errorf("the record of the next life is %v when the life before would have expired", res.Record.State)
		}
	})
}

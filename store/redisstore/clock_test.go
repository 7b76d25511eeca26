package redisstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

// In the bubble, the year is 2000, and time stands still while a goroutine waits for a socket.
func TestF31AProcessWhoseClockIsDecadesBehindSeesTheSameLeasesAndRetentions(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	running, done, ended := newClaim(), newClaim(), overdue(t, s)
	start(t, s, running)
	start(t, s, done)

	res, err := s.Complete(t.Context(), completion(done, "paid"))
	must(t, res, err)

	synctest.Test(t, func(t *testing.T) {
		if year := time.Now().Year(); year > 2010 {
			t.Fatalf("it is the year %d", year)
		}

		behind := open(t, server.URL())

		for name, tt := range map[string]struct {
			claim store.Claim
			fence uint64
			wins  bool
			state store.State
		}{
			"a lease that is alive":        {running, 1, false, store.Running},
			"a retention that is not over": {done, 1, false, store.Completed},
			"a lease that has ended":       {ended, 1, true, store.Running},
			"nothing":                      {newClaim(), 0, true, store.Running},
		} {
			claim := claimOn(tt.claim.Key)
			claim.Fence = tt.fence

			res, err := behind.Claim(t.Context(), claim)
			if err != nil || res.Applied != tt.wins || res.Record.State != tt.state || res.Now.Year() < 2020 {
				t.Errorf("%s: %+v, %v", name, res, err)
			}
		}

		// The times in its record are the server's as well.
		claim := newClaim()
		got := start(t, behind, claim)

		if lease := got.Record.LeaseUntil.Sub(got.Now); lease != claim.Lease || !got.Record.FirstStart.Equal(got.Now) {
			t.Errorf("a lease of %v, since %v", lease, got.Record.FirstStart)
		}
	})

	if _, err := s.Renew(t.Context(), renewal(running)); err != nil {
		t.Error(err)
	}
}

func TestALeaseHasEndedInTheVeryMillisecondInWhichItEnds(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL())
	eventually(t, "a claim arrives as a lease ends", func() bool {
		claim := newClaim()
		claim.Lease = 0
		ends := start(t, s, claim).Record.LeaseUntil

		takeover := claimOn(claim.Key)
		takeover.Fence = 1

		res, err := s.Claim(t.Context(), takeover)
		if err != nil || !res.Applied {
			t.Fatalf("at %v, a lease that ends at %v: %+v, %v", res.Now, ends, res.Record, err)
		}

		return res.Now.Equal(ends)
	})
}

// Scripts read the clock and write a moment later, or much later on a busy machine. A record expires at the time that was answered.
func TestTheExpiryThatAnOperationAnswersIsTheOneThatIsStored(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL())

	for name, ends := range map[string]func(store.Claim) (store.Result, error){
		"complete": func(c store.Claim) (store.Result, error) { return s.Complete(t.Context(), completion(c, "paid")) },
		"release": func(c store.Claim) (store.Result, error) {
			return s.Release(t.Context(), release(c))
		},
	} {
		for range 1000 { // enough to see the clock tick between the two, several times
			claim := newClaim()
			start(t, s, claim)

			said, err := ends(claim)
			must(t, said, err)

			kept, err := s.Lookup(t.Context(), claim.Key)
			if err != nil || !kept.Record.ExpiresAt.Equal(said.Record.ExpiresAt) {
				t.Fatalf("%s: expires at %v, the answer was %v, %v", name, kept.Record.ExpiresAt, said.Record.ExpiresAt, err)
			}
		}
	}
}

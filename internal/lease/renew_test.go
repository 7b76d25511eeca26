package lease_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/lease"
)

func TestLeaseIsRenewedAtAThird(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, renewed)

		time.Sleep(22 * time.Second)
		o.Stop()
		time.Sleep(time.Minute)
		o.mustHaveRenewed(t, 5*time.Second, 10*time.Second, 15*time.Second, 20*time.Second)
		o.mustHaveLost(t)
		o.mustGoOn(t)
	})
}

func TestFailedRenewalIsTriedAgainAfterAFifteenth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, broken, broken, renewed) //nolint:gocritic // it fails twice

		time.Sleep(13 * time.Second)
		o.mustHaveRenewed(t, 5*time.Second, 6*time.Second, 7*time.Second, 12*time.Second)
		o.mustHaveFailed(t, 5*time.Second, 6*time.Second)
		o.mustHaveLost(t)
		o.mustGoOn(t)
	})
}

// The store may have decided a renewal at the moment at which it was sent.
func TestLeaseCountsFromTheStartOfARenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, slow(1900*time.Millisecond, renewed), broken)

		time.Sleep(8 * time.Second)

		if end := o.AuthorityEnd().Sub(o.began); end != 18500*time.Millisecond {
			t.Errorf("the authority ends after %v, want nine tenths of a lease after 5s", end)
		}

		time.Sleep(time.Minute)
		o.mustHaveEnded(t, lease.AuthorityLost, 18500*time.Millisecond)
	})
}

func TestNextRenewalCountsFromTheStartOfTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, slow(1900*time.Millisecond, renewed), renewed)

		time.Sleep(11 * time.Second)
		o.mustHaveRenewed(t, 5*time.Second, 10*time.Second)
	})
}

// The store may have decided the first copy of a claim that was sent several times.
func TestFirstLeaseCountsFromItsAnchor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &owner{began: time.Now(), next: []renewal{broken}}

		time.Sleep(2 * time.Second)
		o.start(t, true, time.Hour)
		time.Sleep(time.Minute)
		o.Stop()
		o.mustHaveEnded(t, lease.AuthorityLost, 13500*time.Millisecond)
	})
}

func TestLeaseThatStartsLateIsRenewedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &owner{began: time.Now(), next: []renewal{renewed}}

		time.Sleep(7 * time.Second)
		o.start(t, true, time.Hour)
		time.Sleep(time.Second)
		o.Stop()
		o.mustHaveRenewed(t, 7*time.Second)
	})
}

func TestRunEndsWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()

	for name, takeover := range map[string]bool{"takeover": true, "no takeover": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := startUntil(t, takeover, 8*time.Second, renewed)

				time.Sleep(time.Hour)
				o.mustHaveRenewed(t, 5*time.Second)
				o.mustHaveEnded(t, lease.RunOver, 8*time.Second)
				o.mustHaveLost(t)
			})
		})
	}
}

func TestRunEndsInTimeWhileARenewalHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := startUntil(t, false, 6*time.Second, hanging)

		time.Sleep(time.Hour)
		o.mustHaveEnded(t, lease.RunOver, 6*time.Second)
		o.mustHaveFailed(t) // its answer counts for nothing any more
	})
}

func TestF68LeaseOfAnyLengthIsKept(t *testing.T) {
	t.Parallel()

	for name, long := range map[string]time.Duration{
		"a millisecond": time.Millisecond, "a century": 100 * 365 * 24 * time.Hour, "the longest": math.MaxInt64,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := &owner{began: time.Now(), next: []renewal{renewed}}
				o.Start(t.Context(), new(lease.Keeper), o, lease.Terms{
					Length: long, Anchor: o.began, RunEnd: o.began.Add(math.MaxInt64), Takeover: true,
				})

				time.Sleep(100 * time.Millisecond)
				o.Stop()
				o.mustGoOn(t)
				o.mustHaveLost(t)

				if n, want := len(o.copyOf(&o.renewals)), int(100*time.Millisecond/(long/3)); n != want {
					t.Errorf("%d renewals in 100ms, want %d", n, want)
				}
			})
		})
	}
}

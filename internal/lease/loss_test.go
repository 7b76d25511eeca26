package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/lease"
)

func TestF07RunThatMayBeTakenOverEndsBeforeItsLeaseCanHaveEnded(t *testing.T) {
	t.Parallel()

	for name, down := range map[string]renewal{
		"refusing": broken, "hanging": hanging, "hanging for ever": slow(time.Hour, broken),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := start(t, true, renewed, down)

				time.Sleep(2 * time.Hour)
				o.mustHaveEnded(t, lease.AuthorityLost, 18500*time.Millisecond)
				o.mustHaveLost(t, 18500*time.Millisecond)
			})
		})
	}
}

func TestF07RunThatNobodyMayTakeOverGoesOnAndGetsItsLeaseBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, false, broken)

		time.Sleep(20500 * time.Millisecond)
		o.mustHaveLost(t, 13500*time.Millisecond)
		o.then(renewed)
		time.Sleep(time.Minute)

		if at := o.copyOf(&o.renewals); len(o.copyOf(&o.failures)) != 16 || at[16] != 21*time.Second {
			t.Errorf("the renewals %v do not go on every second until one succeeds", at)
		}

		o.mustHaveLost(t, 13500*time.Millisecond)
		o.mustGoOn(t)
	})
}

func TestF07LeaseThatComesBackAndIsLostAgainIsReportedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, false, broken)

		time.Sleep(20500 * time.Millisecond)
		o.then(renewed, broken)
		time.Sleep(time.Minute)
		o.mustHaveLost(t, 13500*time.Millisecond, 34500*time.Millisecond)
		o.mustGoOn(t)
	})
}

// The handler has returned, and nobody has taken over: there is nothing to worry about.
func TestF08LeaseThatEndsWhileTheOutcomeIsWrittenNeitherEndsTheRunNorIsReported(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		takeover bool
		next     renewal
	}{
		"no takeover":          {false, broken},
		"takeover":             {true, broken},
		"no takeover, settled": {false, settled},
		"takeover, settled":    {true, settled},
		"no takeover, taken":   {false, taken},
		"takeover, taken":      {true, taken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := start(t, tt.takeover, tt.next)
				o.Settling()

				time.Sleep(time.Minute)
				o.mustHaveLost(t)
				o.mustGoOn(t)

				o.Lose() // whoever settles the run has seen that it is another's
				o.Lose()
				o.mustHaveLost(t, time.Minute)
			})
		})
	}
}

// Others may have taken over, so what is written next decides. A renewal could only revive a lease that has ended.
func TestRenewalsEndWithTheAuthorityWhileTheOutcomeIsWritten(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		takeover bool
		last     time.Duration
	}{
		"takeover":    {true, 13 * time.Second},
		"no takeover": {false, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := start(t, tt.takeover, broken)
				o.Settling()

				time.Sleep(time.Minute + 1)

				if at := o.copyOf(&o.renewals); len(at) == 0 || at[len(at)-1] != tt.last {
					t.Errorf("renewals after %v, want the last one after %v", at, tt.last)
				}
			})
		})
	}
}

func TestRenewalThatIsRefusedEndsTheRunOrTheRenewing(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		takeover bool
		next     renewal
		ends     bool
	}{
		"takeover, taken":      {true, taken, true},
		"takeover, settled":    {true, settled, true},
		"no takeover, taken":   {false, taken, true},
		"no takeover, settled": {false, settled, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := start(t, tt.takeover, tt.next)

				time.Sleep(time.Minute)
				o.mustHaveRenewed(t, 5*time.Second)
				o.mustHaveLost(t, 5*time.Second)

				if tt.ends {
					o.mustHaveEnded(t, lease.AuthorityLost, 5*time.Second)

					return
				}

				o.mustGoOn(t)
				time.Sleep(time.Hour)
				o.mustHaveEnded(t, lease.RunOver, time.Hour)
			})
		})
	}
}

func TestOvertakenRunEndsAndIsReportedOnce(t *testing.T) {
	t.Parallel()

	for name, takeover := range map[string]bool{"takeover": true, "no takeover": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := start(t, takeover, renewed)

				time.Sleep(time.Second)
				o.Overtaken()
				o.Overtaken()
				o.Lose()
				time.Sleep(time.Minute)
				o.mustHaveRenewed(t)
				o.mustHaveLost(t, time.Second)
				o.mustHaveEnded(t, lease.AuthorityLost, time.Second)
			})
		})
	}
}

func TestLossThatWasReportedByItsOwnerIsNotReportedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, broken)
		o.Lose()
		o.mustGoOn(t)

		time.Sleep(time.Minute)
		o.mustHaveLost(t, 0)
		o.mustHaveEnded(t, lease.AuthorityLost, 13500*time.Millisecond)
	})
}

func TestF19SlowReportKeepsNeitherTheRunNorItsRenewals(t *testing.T) {
	t.Parallel()

	for name, takeover := range map[string]bool{"takeover": true, "no takeover": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := startReporting(t, takeover, broken)

				time.Sleep(13200 * time.Millisecond)
				o.mustHaveFailed(t, 5*time.Second, 6*time.Second, 7*time.Second, 8*time.Second, 9*time.Second,
					10*time.Second, 11*time.Second, 12*time.Second, 13*time.Second)
				o.mustGoOn(t)
				o.then(renewed)
				time.Sleep(time.Second)
				o.mustHaveLost(t, 13500*time.Millisecond)

				if takeover {
					o.mustHaveEnded(t, lease.AuthorityLost, 13500*time.Millisecond)
				} else if at := o.copyOf(&o.renewals); len(at) != 10 || at[9] != 14*time.Second {
					t.Errorf("renewals after %v, want the next one after 14s", at)
				}

				o.Stop()
			})
		})
	}
}

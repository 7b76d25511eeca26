package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/lease"
)

// Nobody can take over while a transaction holds the record, and renewals wait for it.
func TestLeaseDoesNotEndWhileATransactionHoldsTheRecord(t *testing.T) {
	t.Parallel()

	for name, takeover := range map[string]bool{"takeover": true, "no takeover": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := start(t, takeover, hanging)

				time.Sleep(time.Second)
				o.Hold()
				time.Sleep(time.Minute)
				o.mustHaveLost(t)
				o.mustHaveFailed(t)
				o.mustGoOn(t)

				if at := o.copyOf(&o.renewals); at[0] != 5*time.Second || at[1] != 12*time.Second {
					t.Errorf("renewals after %v, want a third of a lease after each", at)
				}
			})
		})
	}
}

func TestTransactionThatHasCommittedEndsTheRenewingInSilence(t *testing.T) {
	t.Parallel()

	for name, takeover := range map[string]bool{"takeover": true, "no takeover": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := start(t, takeover, settled)
				o.Hold()

				time.Sleep(time.Minute)
				o.mustHaveRenewed(t, 5*time.Second)
				o.mustHaveLost(t)
				o.mustGoOn(t)
				time.Sleep(time.Hour)
				o.mustHaveEnded(t, lease.RunOver, time.Hour)
			})
		})
	}
}

func TestRecordThatIsTakenAfterATransactionHeldItEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, taken)
		o.Hold()

		time.Sleep(time.Minute)
		o.mustHaveLost(t, 5*time.Second)
		o.mustHaveEnded(t, lease.AuthorityLost, 5*time.Second)
	})
}

func TestLeaseCountsAgainWhenTheTransactionWasRolledBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, hanging, renewed, broken)
		o.Hold()

		time.Sleep(time.Minute)
		o.mustHaveRenewed(t, 5*time.Second, 12*time.Second, 17*time.Second, 18*time.Second, 19*time.Second, 20*time.Second,
			21*time.Second, 22*time.Second, 23*time.Second, 24*time.Second, 25*time.Second)
		o.mustHaveEnded(t, lease.AuthorityLost, 25500*time.Millisecond)
		o.mustHaveLost(t, 25500*time.Millisecond)
	})
}

// Such a renewal may have arrived before the transaction, and says nothing about it.
func TestRenewalThatWasSentBeforeTheTransactionProvesNothingAboutIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, slow(time.Second, renewed), hanging)

		time.Sleep(5 * time.Second)
		synctest.Wait()
		o.Hold() // at the very moment at which the renewal was sent
		time.Sleep(time.Minute)
		o.mustHaveLost(t)
		o.mustGoOn(t)
	})
}

func TestRenewalThatSawOneTransactionRolledBackProvesNothingAboutTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := start(t, true, slow(time.Second, renewed), hanging)
		o.Hold()

		time.Sleep(5500 * time.Millisecond)
		o.Hold()
		time.Sleep(time.Minute)
		o.mustHaveLost(t)
		o.mustGoOn(t)
	})
}

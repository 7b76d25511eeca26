package lease_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/lease"
)

// startWith starts a lease of a keeper.
func startWith(t *testing.T, k *lease.Keeper, terms lease.Terms, next ...renewal) *owner {
	t.Helper()

	o := &owner{began: time.Now(), next: next}
	terms.Anchor = o.began
	o.Start(t.Context(), k, o, terms)
	t.Cleanup(o.Stop)

	return o
}

func TestRenewalsOfManyLeasesAreSentTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const (
			leases = 300
			third  = length / 3
			early  = length / 60
		)

		var k lease.Keeper

		owners := make([]*owner, leases)
		for i := range owners {
			owners[i] = startWith(t, &k, lease.Terms{Length: length, RunEnd: time.Now().Add(time.Hour)}, renewed)

			time.Sleep(third / leases)
		}

		time.Sleep(2*time.Minute - time.Since(owners[0].began))

		moments := make(map[time.Time]bool)

		for i, o := range owners {
			o.Stop()

			var last time.Duration

			for _, at := range o.copyOf(&o.renewals) {
				if after := at - last; after > third || after < third-early {
					t.Fatalf("lease %d was renewed %v after the last time, want at most %v and no more than %v earlier", i, after, third, early)
				}

				last = at

				if at > time.Minute {
					moments[o.began.Add(at)] = true
				}
			}

			if last < time.Minute {
				t.Fatalf("lease %d was last renewed after %v", i, last)
			}
		}

		// In the last minute there were 12 renewals of each.
		if n, most := len(moments), int(time.Minute/early)+1; n > most {
			t.Errorf("renewals were sent at %d moments of a minute, want at most %d", n, most)
		}
	})
}

// Leases of all lengths come and go at random.
func TestKeeperWakesEachLeaseInTimeAndNoneThatHasStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			k    lease.Keeper
			wg   sync.WaitGroup
			seed = time.Now().UnixNano()
		)

		for i := range uint64(300) {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(seed), i))
				span := func(most time.Duration) time.Duration { return 1 + time.Duration(random.Int64N(int64(most))) }

				time.Sleep(span(time.Minute))

				own, lives, ends := 3*time.Second+span(time.Minute), span(5*time.Minute), span(5*time.Minute)
				o := startWith(t, &k, lease.Terms{Length: own, RunEnd: time.Now().Add(ends)}, renewed)

				time.Sleep(lives)
				synctest.Wait()
				o.Stop()
				time.Sleep(10 * time.Minute)

				last := time.Duration(0)
				for _, at := range append(o.copyOf(&o.renewals), min(lives, ends)) {
					if after := at - last; after > own/3 {
						t.Errorf("lease %d of %v was renewed %v after the last time", i, own, after)
					}

					last = at
				}

				if last != min(lives, ends) {
					t.Errorf("lease %d was renewed after %v, and stopped after %v", i, last, min(lives, ends))
				}

				if ends < lives {
					o.mustHaveEnded(t, lease.RunOver, ends)
				} else if ends > lives {
					o.mustGoOn(t)
				}
			})
		}

		wg.Wait()
	})
}

func TestRunWithoutLeaseEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var k lease.Keeper

		o := startWith(t, &k, lease.Terms{RunEnd: time.Now().Add(25 * time.Second)})

		time.Sleep(time.Hour)
		o.mustHaveEnded(t, lease.RunOver, 25*time.Second)
		o.mustHaveRenewed(t)
		o.mustHaveLost(t)
	})
}

// A lease that waits for its store, or whose owner takes its time, holds up no other.
func TestSlowLeaseHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var k lease.Keeper

		terms := lease.Terms{Length: length, RunEnd: time.Now().Add(time.Hour)}
		slowly := startWith(t, &k, terms, slow(2*time.Second, broken))
		slowly.reporting = time.Minute
		swiftly := startWith(t, &k, terms, renewed)

		time.Sleep(21 * time.Second)
		slowly.mustHaveRenewed(t, 5*time.Second, 8*time.Second, 11*time.Second, 14*time.Second, 17*time.Second, 20*time.Second)
		swiftly.mustHaveRenewed(t, 5*time.Second, 10*time.Second, 15*time.Second, 20*time.Second)
	})
}

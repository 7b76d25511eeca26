package sqlstoretest_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// atOnce begins functions at the same moment, and returns when they have ended.
func atOnce(racers ...func()) {
	var all sync.WaitGroup

	begin := make(chan struct{})

	for _, race := range racers {
		all.Go(func() {
			<-begin
			race()
		})
	}

	close(begin)
	all.Wait()
}

// pair is two stores on one database, each with connections of its own, as two processes have them.
func (k kind) pair(tb testing.TB) [2]*sqlstore.Store {
	tb.Helper()

	base := k.fresh(tb)

	return [2]*sqlstore.Store{k.on(tb, pool(base.DB(tb, k.params...))), k.on(tb, pool(base.DB(tb, k.params...)))}
}

// rounds is how often a race is run.
func (k kind) rounds(most int) int {
	if k.dialect == sqlstore.SQLite {
		return most / 10 // writers take turns, so that there is little to race for
	}

	return most
}

func TestF18OfACompletionAndATakeoverOnTwoConnectionsExactlyOneWins(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s := k.pair(t)
		owners := make([]store.Claim, k.rounds(*races))

		var last time.Time

		for i := range owners {
			owners[i] = newClaim()
			owners[i].Lease, owners[i].MaxRun = time.Millisecond, time.Hour
			last = start(t, s[0], owners[i]).Record.LeaseUntil
		}

		eventually(t, "the leases end", func() bool { return lookup(t, s[0], owners[0].Key).Now.After(last) })

		completions := 0

		for _, owner := range owners {
			taker := claimOn(owner.Key)
			taker.Fence = 1

			var (
				completed, taken       store.Result
				completeErr, takingErr error
			)

			atOnce(
				func() { completed, completeErr = s[0].Complete(t.Context(), completion(owner, "paid")) },
				func() { taken, takingErr = s[1].Claim(t.Context(), taker) },
			)

			rec := lookup(t, s[0], owner.Key).Record

			switch {
			case completeErr != nil || takingErr != nil:
				t.Errorf("the completion returned %v, the takeover %v", completeErr, takingErr)
			case completed.Applied == taken.Applied:
				t.Errorf("completed %t and taken over %t: the record is %v", completed.Applied, taken.Applied, rec.State)
			case completed.Applied && (rec.State != store.Completed || rec.Token != owner.Token || taken.Record.State != store.Completed):
				t.Errorf("the completion has won, the taker was told %v, and the record is %+v", taken.Record.State, rec)
			case taken.Applied && (rec.State != store.Running || rec.Token != taker.Token || rec.Fence != 2):
				t.Errorf("the takeover has won, and the record is %+v", rec)
			case completed.Applied:
				completions++
			}
		}

		t.Logf("%d of %d were completed", completions, len(owners))
	})
}

// Two who settle a record whose outcome is unknown, and its late owner: one of the three does.
func TestF49OfTwoReconcilersAndALateOwnerExactlyOneSettlesTheRecord(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s := k.pair(t)
		won := make(map[string]int)

		for range k.rounds(*races / 2) {
			claim := newClaim()
			claim.Guarantee = store.AtMostOnce
			start(t, s[0], claim)

			res, err := s[0].Hold(t.Context(), hold(claim))
			must(t, res, err)

			results := make(map[string]store.Result)

			var mu sync.Mutex

			settle := func(outcome string, settle func() (store.Result, error)) func() {
				return func() {
					res, err := settle()
					if err != nil {
						t.Error(err)
					}

					mu.Lock()
					defer mu.Unlock()

					results[outcome] = res
				}
			}
			resolve := func(i int, outcome string) func() {
				return settle(outcome, func() (store.Result, error) {
					return s[i].Resolve(t.Context(), store.Resolution{
						Key: claim.Key, Token: claim.Token, Fence: 1, State: store.Completed, Outcome: []byte(outcome),
					})
				})
			}

			atOnce(resolve(0, "found"), resolve(1, "found by another"), settle("paid", func() (store.Result, error) {
				return s[1].Complete(t.Context(), completion(claim, "paid"))
			}))

			rec := lookup(t, s[0], claim.Key).Record
			winners := 0

			for outcome, res := range results {
				if res.Applied {
					winners++
					won[outcome]++
				}

				if res.Applied != (string(rec.Outcome) == outcome) || !bytes.Equal(res.Record.Outcome, rec.Outcome) {
					t.Errorf("%q: applied %t, it was told of %q, and the record has %q",
						outcome, res.Applied, res.Record.Outcome, rec.Outcome)
				}
			}

			if winners != 1 || rec.State != store.Completed || rec.Fence != 1 {
				t.Errorf("%d have settled it, and the record is %+v", winners, rec)
			}
		}

		t.Logf("%v", won)
	})
}

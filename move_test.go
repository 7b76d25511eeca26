package onlyonce

import (
	"fmt"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The decision depends on nothing but the claim and the store's answer, so the table is complete.
func TestDecideCoversEveryAnswerOfAStore(t *testing.T) {
	t.Parallel()

	now := time.Unix(1_000_000, 0)
	mine, other := store.Token{1}, store.Token{2}
	same, differs := store.Fingerprint{Scheme: 1, Sum: [32]byte{1}}, store.Fingerprint{Scheme: 1, Sum: [32]byte{2}}

	expected := func(claim *store.Claim, rec *store.Record, alive bool) move {
		takeover := store.Stricter(claim.Guarantee, rec.Guarantee).TakeoverAllowed() && rec.Attempts < claim.MaxAttempts

		switch {
		case rec.State == store.Absent:
			return moveReclaim
		case rec.Fingerprint != same:
			return moveReused
		case rec.State == store.Completed:
			return moveReplay
		case rec.State == store.Released:
			return moveReclaim
		case rec.State == store.Running && alive:
			return moveWait
		case rec.State == store.Running && takeover:
			return moveReclaim
		default:
			return moveUnknown
		}
	}

	cases := 0

	for state := store.Absent; state <= store.Completed; state++ {
		for _, until := range []time.Duration{-time.Hour, 0, 1, time.Hour} {
			for _, fingerprint := range []store.Fingerprint{same, differs} {
				for claimed := AtMostOnce; claimed <= ExactlyOnce; claimed++ {
					for recorded := AtMostOnce; recorded <= ExactlyOnce; recorded++ {
						for _, token := range []store.Token{mine, other} {
							for _, attempts := range []uint32{1, 4, 5} {
								claim := &store.Claim{Token: mine, Fingerprint: same, Guarantee: claimed, MaxAttempts: 5, Retention: time.Hour}
								rec := store.Record{
									State: state, Token: token, Guarantee: recorded, Fingerprint: fingerprint, Attempts: attempts,
									Fence: 1, FirstStart: now.Add(-time.Minute), Retention: time.Hour, LeaseUntil: now.Add(until),
								}

								if state == store.Absent {
									rec = store.Record{}
								}

								name := fmt.Sprintf("%v lease %v, %v over %v, attempt %d", state, until, claimed, recorded, attempts)

								want := expected(claim, &rec, until > 0)
								if got := decide(claim, &store.Result{Record: rec, Now: now}); got != want {
									t.Errorf("%s: move %d, want %d", name, got, want)
								}

								won := situation{claim: claim, answer: &store.Result{Applied: true, Record: rec, Now: now}}
								if got := won.next(); got != moveRun {
									t.Errorf("%s, applied: move %d, want the run", name, got)
								}

								cases++
							}
						}
					}
				}
			}
		}
	}

	if cases != 5*4*2*3*3*2*3 {
		t.Errorf("%d cases", cases)
	}
}

func TestDecideDoesNotRepeatARunWhoseFirstStartIsOlderThanTheRetention(t *testing.T) {
	t.Parallel()

	now := time.Unix(1_000_000, 0)
	claim := &store.Claim{Guarantee: AtLeastOnce, MaxAttempts: 5, Retention: time.Hour}

	for age, want := range map[time.Duration]move{time.Hour: moveReclaim, time.Hour + 1: moveUnknown} {
		rec := store.Record{
			State: store.Running, Guarantee: AtLeastOnce, Attempts: 1, Retention: time.Hour, FirstStart: now.Add(-age), LeaseUntil: now,
		}

		if got := decide(claim, &store.Result{Record: rec, Now: now}); got != want {
			t.Errorf("first start %v ago: move %d, want %d", age, got, want)
		}
	}
}

// The next claim of a call expects the fence of the record. It gets a fresh token if the record has used the call's token.
func TestExpectTakesTheRecordsFenceAndAFreshTokenWhereItsOwnIsSpent(t *testing.T) {
	t.Parallel()

	spent := store.Token{9}

	for name, tt := range map[string]struct {
		rec   store.Record
		fence uint64
		fresh bool
	}{
		"absent":          {store.Record{}, 0, false},
		"another's":       {store.Record{State: store.Released, Fence: 7, Token: store.Token{1}}, 7, false},
		"its own, spent":  {store.Record{State: store.Released, Fence: 8, Token: spent}, 8, true},
		"its own, absent": {store.Record{Token: spent}, 0, false},
	} {
		a := &attempt{claim: store.Claim{Token: spent, Fence: 3}}
		a.expect(&tt.rec)

		if a.claim.Fence != tt.fence || (a.claim.Token != spent) != tt.fresh {
			t.Errorf("%s: expects fence %d with token %v", name, a.claim.Fence, a.claim.Token)
		}
	}
}

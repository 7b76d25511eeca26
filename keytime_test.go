package onlyonce_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// orderedKey is a key that was made at the given time.
func orderedKey(made time.Time) string {
	var millis [8]byte

	binary.BigEndian.PutUint64(millis[:], uint64(made.UnixMilli()))
	digits := hex.EncodeToString(millis[2:])

	return digits[:8] + "-" + digits[8:] + "-7000-8000-000000000000"
}

func ordered(made time.Time) onlyonce.Call {
	call := pay(orderedKey(made))
	call.TimeOrdered = true

	return call
}

func TestKeyTimeIsThatOfAUUIDOfVersion7Alone(t *testing.T) {
	t.Parallel()

	const key = "0197f2c4-5b1e-7a33-8f10-2b9c6d0e1f42"

	for text, want := range map[string]bool{
		key: true, "0197F2C4-5B1E-7A33-BF10-2B9C6D0E1F42": true, "00000000-0000-7000-8000-000000000000": true,
		"0197f2c4-5b1e-4a33-8f10-2b9c6d0e1f42": false, "0197f2c4-5b1e-7a33-cf10-2b9c6d0e1f42": false, "": false, key[1:]: false,
		key + "0": false, "0197f2c45b1e7a338f102b9c6d0e1f42": false, "0197f2c4-5b1e-7a33-8f10-2b9c6d0e1f4g": false,
		"0197f2c4-5b1e-7a33-8f1-02b9c6d0e1f42": false, "{197f2c4-5b1e-7a33-8f10-2b9c6d0e1f42}": false,
		"0197f2c4-5b1e-7a33-8f10--b9c6d0e1f42": false,
	} {
		made, ok := onlyonce.KeyTime(text)
		if ok != want || ok && text == key && made.UnixMilli() != 0x0197f2c45b1e {
			t.Errorf("KeyTime(%q) = %v, %v", text, made, ok)
		}
	}
}

func TestF29OldTimeOrderedKeyIsLookedUpAndNeverClaimed(t *testing.T) {
	t.Parallel()

	const retention = 24 * time.Hour

	for name, tt := range map[string]struct {
		retention, age time.Duration
		runs           bool
	}{
		"fresh":                               {retention, 0, true},
		"young":                               {retention, time.Hour, true},
		"just young enough":                   {retention, retention - 10*time.Minute, true},
		"just too old":                        {retention, retention - 10*time.Minute + time.Millisecond, false},
		"a year old":                          {retention, 365 * 24 * time.Hour, false},
		"just young enough for a short one":   {12 * time.Minute, 6 * time.Minute, true},
		"just too old for a short one":        {12 * time.Minute, 6*time.Minute + time.Millisecond, false},
		"from a clock that is a bit in front": {retention, -10 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Retention: tt.retention}))
				call := ordered(time.Now().Add(-tt.age))

				var p payments

				if tt.runs {
					do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
					do(t, e, call, p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
					p.mustHaveRun(t, 1)

					return
				}

				for range 2 {
					rejection := do(t, e, call, p.do).rejection(t, onlyonce.ReasonKeyExpired)
					if rejection.RetryAfter != 0 || rejection.Verdict() != onlyonce.VerdictUnknown {
						t.Errorf("the rejection is %+v", rejection)
					}
				}

				p.mustHaveRun(t, 0)

				if rec, err := e.Lookup(t.Context(), identity(call.Key)); err != nil || rec.State != store.Absent {
					t.Errorf("the record is %v, %v", rec.State, err)
				}
			})
		})
	}
}

func TestF29OldTimeOrderedKeyIsStillReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore())
		call := ordered(time.Now())
		time.Sleep(time.Hour)

		var p payments

		do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		time.Sleep(24*time.Hour - time.Millisecond) // the key is older than that
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusReplayed, "#1")

		other := call
		other.Request = []byte("another")
		do(t, e, other, p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)
		time.Sleep(time.Millisecond)
		do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		p.mustHaveRun(t, 1)
	})
}

func TestF29OldTimeOrderedKeyWithARecordIsTreatedAsAnyOther(t *testing.T) {
	t.Parallel()

	old := func() onlyonce.Call { return ordered(time.Now().Add(-48 * time.Hour)) }

	t.Run("released", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newFaultStore()
			e := newEngine(t, s)
			call := old()
			young := call
			young.TimeOrdered = false // it was, when it ran first

			var p payments

			do(t, e, young, p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)
			do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
			do(t, e, call, p.do).mustBe(t, onlyonce.StatusReplayed, "#2")
		})
	})

	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, newFaultStore())
			call := old()
			young := call
			young.TimeOrdered = false

			var p payments

			do(t, e, young, p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
			do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
			p.mustHaveRun(t, 1)
		})
	})

	t.Run("running", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newFaultStore()
			call := old()
			young := call
			young.TimeOrdered = false

			var p payments

			first := inBackground(t.Context(), newEngine(t, s), young, p.lasting(5*time.Second))

			synctest.Wait()

			do(t, newEngine(t, s), call, p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
			(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
		})
	})
}

func TestF29DuplicatesOfAnOldKeyAreAllRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		s.next(opClaim, slow(time.Second))
		e := newEngine(t, s)
		call := ordered(time.Now().Add(-48 * time.Hour))

		var p payments

		const calls = 20

		answers := make([]<-chan answer, 0, calls)
		for range calls {
			answers = append(answers, inBackground(t.Context(), e, call, p.do))
		}

		for _, a := range answers {
			(<-a).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		}

		p.mustHaveRun(t, 0)
	})
}

func TestTimeOrderedKeyFromTheFutureOrOfAnotherFormIsInvalid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		future := ordered(time.Now().Add(10*time.Minute + time.Millisecond))
		do(t, e, future, p.do).mustBeRejected(t, onlyonce.ReasonKeyInvalid)

		plain := pay("order-1")
		plain.TimeOrdered = true
		do(t, e, plain, p.do).mustBeRejected(t, onlyonce.ReasonKeyInvalid)
		p.mustHaveRun(t, 0)

		if n := s.count(opClaim); n != 0 {
			t.Errorf("the store was asked %d times", n)
		}

		future.TimeOrdered = false // off, unless it is chosen
		do(t, e, future, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, pay(orderedKey(time.Now().Add(-1000*time.Hour))), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

// The clock of the client is ahead. Neither its key nor a late copy runs again after the record has expired.
func TestF29KeyOfAClockThatIsAheadDoesNotRunAgainAfterItsRetention(t *testing.T) {
	t.Parallel()

	for retention, allowed := range map[time.Duration]time.Duration{
		time.Minute: 30 * time.Second, 15 * time.Minute: 7*time.Minute + 30*time.Second, 20 * time.Minute: 10 * time.Minute,
		24 * time.Hour: 10 * time.Minute,
	} {
		t.Run(retention.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, newFaultStore(), onlyonce.WithPolicy(onlyonce.Policy{Retention: retention}))

				var p payments

				do(t, e, ordered(time.Now().Add(allowed+time.Millisecond)), p.do).mustBeRejected(t, onlyonce.ReasonKeyInvalid)

				call := ordered(time.Now().Add(allowed))
				do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
				time.Sleep(retention + time.Millisecond)
				do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
				p.mustHaveRun(t, 1)
			})
		})
	}
}

func TestF29OldKeyIsNotRunWhileTheStoreIsDownEvenWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		s.broken(lostRequest, opClaim)
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))

		var p payments

		do(t, e, ordered(time.Now().Add(-time.Hour)), p.do).mustBe(t, onlyonce.StatusUnprotected, "#1")
		do(t, e, ordered(time.Now().Add(-48*time.Hour)), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		p.mustHaveRun(t, 1)
		s.broken(nil, opClaim)
	})
}

// The release of a withdrawn claim would leave a record behind, which would let the next call run.
func TestF29LookingAtAnOldKeyLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		s.broken(lostReply, opClaim)
		e := newEngine(t, s)
		call := ordered(time.Now().Add(-48 * time.Hour))

		var p payments

		do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		s.broken(nil, opClaim)
		time.Sleep(time.Minute)

		if n := e.Pending(); n != 0 || s.count(opRelease) != 0 {
			t.Errorf("%d releases are pending, %d were sent", n, s.count(opRelease))
		}

		do(t, e, call, p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		p.mustHaveRun(t, 0)
	})
}

// The clock of this process is off by hours. The clock of the store decides.
func TestF31AgeOfATimeOrderedKeyIsThatOnTheStoresClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := skewedStore{faultStore: newFaultStore(), by: 3 * time.Hour}
		e := newEngine(t, s)

		var p payments

		do(t, e, ordered(time.Now().Add(-21*time.Hour)), p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)

		s.by = -3 * time.Hour
		e = newEngine(t, s)
		do(t, e, ordered(time.Now().Add(-25*time.Hour)), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, ordered(time.Now().Add(-27*time.Hour)), p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		p.mustHaveRun(t, 1)
	})
}

// A clock that is wrong within the tolerance decides nothing where the retention is short, either.
func TestF29ShortRetentionLeavesTheAgeOfAKeyToTheStoresClockToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const retention = 20 * time.Minute

		s := skewedStore{faultStore: newFaultStore(), by: 9 * time.Minute}
		e := newEngine(t, s, onlyonce.WithPolicy(onlyonce.Policy{Retention: retention}))

		var p payments

		do(t, e, ordered(time.Now().Add(-2*time.Minute)), p.do).mustBeRejected(t, onlyonce.ReasonKeyExpired)
		do(t, e, ordered(time.Now().Add(-time.Minute)), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		p.mustHaveRun(t, 1)
	})
}

// skewedStore reports the time of another clock.
type skewedStore struct {
	*faultStore

	by time.Duration
}

func (s skewedStore) Claim(ctx context.Context, op store.Claim) (store.Result, error) {
	res, err := s.faultStore.Claim(ctx, op)
	res.Now = res.Now.Add(s.by)

	return res, err
}

func TestF29OldKeyBeginsNoRunInATransaction(t *testing.T) {
	t.Parallel()

	for _, transaction := range []onlyonce.TransactionMode{onlyonce.SingleTransaction, onlyonce.JoinedTransaction} {
		t.Run(transaction.String(), func(t *testing.T) {
			t.Parallel()

			db := txstore.New()
			e := newEngine(t, db, onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: transaction}))
			runs := 0

			for _, age := range []time.Duration{48 * time.Hour, 20 * time.Hour} {
				call := ordered(time.Now().Add(-age))

				_, err := e.Execute(t.Context(), &call, func(context.Context) onlyonce.Outcome {
					runs++

					return onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: "OK"}
				})
				if errors.Is(err, onlyonce.ReasonKeyExpired) != (age > 24*time.Hour) {
					t.Errorf("a key of %v: %v", age, err)
				}
			}

			if runs != 1 {
				t.Errorf("%d runs, want 1", runs)
			}
		})
	}
}

func TestKeyRulesThatRequireTimeOrderedKeys(t *testing.T) {
	t.Parallel()

	rules := onlyonce.KeyRules{TimeOrdered: true}
	if err := errors.Join(rules.Validate(), rules.Check(onlyonce.NewKey())); err != nil {
		t.Error(err)
	}

	if rules.Check("order-1") == nil || rules.Check("f47ac10b-58cc-4372-a567-0e02b2c3d479") == nil {
		t.Error("a key without a time is accepted")
	}

	for _, impossible := range []onlyonce.KeyRules{{MaxLength: 35}, {MinLength: 37}, {Alphabet: "0123456789abcdef"}} {
		if err := impossible.Validate(); err != nil {
			t.Error(err)
		}

		impossible.TimeOrdered = true
		if impossible.Validate() == nil {
			t.Errorf("%+v can be fulfilled", impossible)
		}
	}
}

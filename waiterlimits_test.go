package onlyonce_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// The default number of waiters of an engine.
const (
	crowdKeys   = 100
	crowdPerKey = 100
)

// crowd makes calls that run, and then duplicates that wait for them.
func crowd(t *testing.T, e *onlyonce.Engine, runs *atomic.Int64) map[string]chan answer {
	t.Helper()

	answers := make(map[string]chan answer, crowdKeys)

	for _, calls := range []int{1, crowdPerKey} {
		for i := range crowdKeys {
			key := fmt.Sprintf("k%d", i)
			if answers[key] == nil {
				answers[key] = make(chan answer, 1+crowdPerKey)
			}

			got := answers[key]

			for range calls {
				go func() {
					got <- do(t, e, pay(key), func(context.Context) ([]byte, error) {
						time.Sleep(time.Second)

						return fmt.Appendf(nil, "%s by run %d", key, runs.Add(1)), nil
					})
				}()
			}
		}

		synctest.Wait()
	}

	return answers
}

// mustShare checks that the calls of a key have all got the answer of its one run.
func mustShare(t *testing.T, key string, answers <-chan answer) {
	t.Helper()

	executed := 0
	body := ""

	for i := range 1 + crowdPerKey {
		got := <-answers

		switch {
		case got.err != nil || i > 0 && string(got.Body) != body:
			t.Fatalf("a call of %s got %s %q, %v; another one %q", key, got.Status, got.Body, got.err, body)
		case got.Status == onlyonce.StatusExecuted:
			executed++
		case got.Status != onlyonce.StatusReplayed:
			t.Fatalf("a call of %s got %s", key, got.Status)
		}

		body = string(got.Body)
	}

	if executed != 1 {
		t.Errorf("%d calls of %s were executed, want 1", executed, key)
	}
}

func TestF22TenThousandWaitersOverAHundredKeysEachGetTheAnswerOfTheirKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64

		s := newFaultStore()
		e := newEngine(t, s)
		answers := crowd(t, e, &runs)

		if n := e.Seats(); n != crowdKeys*crowdPerKey {
			t.Errorf("%d calls wait, want %d", n, crowdKeys*crowdPerKey)
		}

		for key, calls := range answers {
			mustShare(t, key, calls)
		}

		if n := runs.Load(); n != crowdKeys {
			t.Errorf("the handler ran %d times, want %d", n, crowdKeys)
		}

		if claims, ends := s.count(opClaim), s.count(opComplete); claims != crowdKeys || ends != crowdKeys {
			t.Errorf("the store saw %d claims and %d completions, want %d of each", claims, ends, crowdKeys)
		}

		synctest.Wait()

		if seats, flights, pending := e.Seats(), e.Flights(), e.Pending(); seats != 0 || flights != 0 || pending != 0 {
			t.Errorf("%d seats, %d flights and %d settlements are left", seats, flights, pending)
		}
	})
}

func TestF22WaiterAfterTheTenThousandthIsTurnedAwayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64

		s := newFaultStore()
		e := newEngine(t, s)
		answers := crowd(t, e, &runs)

		for key := range answers {
			began := time.Now()

			turnedAway := do(t, e, pay(key), nil).rejection(t, onlyonce.ReasonInProgress)
			if waited := time.Since(began); turnedAway.RetryAfter <= 0 || waited != 0 {
				t.Errorf("it was told after %v to retry after %v", waited, turnedAway.RetryAfter)
			}

			do(t, e, payOther(key), nil).mustBeRejected(t, onlyonce.ReasonKeyReused)
		}

		// A call that need not wait is served.
		var p payments

		do(t, e, pay("another"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

		for key, calls := range answers {
			mustShare(t, key, calls)
			do(t, e, pay(key), nil).mustBeReplayed(t)
		}

		if n := s.count(opClaim); n != 2*crowdKeys+1 {
			t.Errorf("the store saw %d claims, want two per key and that of another", n)
		}
	})
}

func (a answer) mustBeReplayed(t *testing.T) {
	t.Helper()

	if a.err != nil || a.Status != onlyonce.StatusReplayed {
		t.Errorf("got %s %q, %v; want a replay", a.Status, a.Body, a.err)
	}
}

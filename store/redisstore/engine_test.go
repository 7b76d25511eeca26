package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// newEngine is an engine that has ended with the test.
// inTime are limits that no slow machine exceeds.
var inTime = onlyonce.Limits{StoreTimeout: generous, SettleTimeout: generous}

func newEngine(t *testing.T, s store.Store, opts ...onlyonce.Option) *onlyonce.Engine {
	t.Helper()

	e, err := onlyonce.New(s, append([]onlyonce.Option{onlyonce.WithLimits(inTime)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()

		if err := e.Drain(ctx); err != nil {
			t.Error(err)
		}
	})

	return e
}

// callOf is a call of one method by one caller under one key.
func callOf(request string) onlyonce.Call {
	return onlyonce.Call{Scope: "alice", Method: "/shop.v1.Orders/Create", Key: "order-7", Request: []byte(request)}
}

// call makes a call and returns the status, or the reason of the rejection.
func call(t *testing.T, e *onlyonce.Engine, request string, run func()) string {
	t.Helper()

	return callAs(t, e, callOf(request), run)
}

func callAs(t *testing.T, e *onlyonce.Engine, c onlyonce.Call, run func()) string {
	t.Helper()

	got, err := e.Do(t.Context(), c, func(context.Context) ([]byte, error) {
		run()

		return []byte("paid " + string(c.Request)), nil
	})

	var rejection *onlyonce.Rejection

	switch {
	case errors.As(err, &rejection):
		return string(rejection.Reason)
	case err != nil:
		return err.Error()
	case string(got.Body) != "paid "+string(c.Request):
		return "the answer " + string(got.Body)
	}

	return string(got.Status)
}

func TestF22ThousandDuplicatesAtOnceRunOnceInTwoProcesses(t *testing.T) {
	t.Parallel()

	const calls = 1_000

	server := redistest.Standalone(t)

	engines := make([]*onlyonce.Engine, 2)
	for i := range engines { // with a client each, as processes have
		engines[i] = newEngine(t, open(t, server.URL()),
			onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: generous, SettleTimeout: generous, MaxWaitersPerKey: calls}),
			onlyonce.WithPolicy(onlyonce.Policy{MaxWait: patience}))
	}

	var (
		wg      sync.WaitGroup
		runs    atomic.Int64
		mu      sync.Mutex
		answers = make(map[string]int)
	)

	running := make(chan struct{})

	for i := range calls {
		wg.Go(func() {
			got := call(t, engines[i%len(engines)], "7 EUR", func() {
				runs.Add(1)
				<-running
			})

			mu.Lock()
			answers[got]++
			mu.Unlock()
		})
	}

	eventually(t, "it runs", func() bool { return runs.Load() > 0 })
	close(running)
	wg.Wait()

	if runs.Load() != 1 || answers["executed"] != 1 || answers["replayed"] != calls-1 {
		t.Errorf("%d runs, %v", runs.Load(), answers)
	}
}

func TestF24F25F26AKeyIsBoundToItsRequestItsMethodAndItsCaller(t *testing.T) {
	t.Parallel()

	s := open(t, redistest.Standalone(t).URL())
	never := func() { t.Error("it ran") }
	first := callOf("7 EUR")

	another := callOf("8 EUR")
	method, caller := first, first
	method.Method, caller.Scope = "/shop.v1.Orders/Cancel", "bob"

	// A duplicate arrives in another process during the run.
	elsewhere := newEngine(t, s)
	got := callAs(t, newEngine(t, s), first, func() {
		if got := callAs(t, elsewhere, another, never); got != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("F24 another request, running: %s", got)
		}

		if got := callAs(t, elsewhere, method, func() {}); got != "executed" {
			t.Errorf("F25 another method, running: %s", got)
		}
	})

	if got != "executed" {
		t.Error(got)
	}

	for name, tt := range map[string]struct {
		call onlyonce.Call
		want string
	}{
		"the same request":          {first, "replayed"},
		"another request":           {another, "IDEMPOTENCY_KEY_REUSED"},
		"another method, its retry": {method, "replayed"},
	} {
		if got := callAs(t, newEngine(t, s), tt.call, never); got != tt.want {
			t.Errorf("%s, completed: %s, want %s", name, got, tt.want)
		}
	}

	if got := callAs(t, newEngine(t, s), caller, func() {}); got != "executed" {
		t.Errorf("F26 another caller: %s", got)
	}
}

func TestF18ExactlyOneOfACompletionAndATakeoverWins(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	owner := open(t, server.URL())
	taker := open(t, server.URL())
	won := make(map[store.State]int)

	for range *races {
		claim := newClaim()
		claim.Lease = 0 // it has ended
		start(t, owner, claim)

		takeover := claimOn(claim.Key)
		takeover.Fence = 1

		var (
			done, taken store.Result
			errs        [2]error
			both        sync.WaitGroup
		)

		begin := make(chan struct{})

		both.Go(func() {
			<-begin

			done, errs[0] = owner.Complete(t.Context(), completion(claim, "paid"))
		})
		both.Go(func() {
			<-begin

			taken, errs[1] = taker.Claim(t.Context(), takeover)
		})
		close(begin)
		both.Wait()

		if errs[0] != nil || errs[1] != nil || done.Applied == taken.Applied {
			t.Fatalf("completion %t, %v; takeover %t, %v", done.Applied, errs[0], taken.Applied, errs[1])
		}

		rec := lookup(t, owner, claim.Key).Record
		if done.Applied != (rec.State == store.Completed) || taken.Applied != (rec.Token == takeover.Token) {
			t.Fatalf("completion %t, takeover %t, and the record is %+v", done.Applied, taken.Applied, rec)
		}

		won[rec.State]++
	}

	t.Logf("%v", won)
}

func TestF28AnOutcomeIsReplayedUpToItsRetentionAndThenTheKeyIsFree(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	s := open(t, server.URL())

	// A slow machine may miss a short retention altogether.
	for retention := unit; replaysUntilTheEnd(t, s, retention) == 0; retention *= 2 {
		t.Logf("no replay within %v", retention)
	}
}

// replaysUntilTheEnd counts the replays of an outcome until its key is free again.
func replaysUntilTheEnd(t *testing.T, s *redisstore.Store, retention time.Duration) (replays int) {
	t.Helper()

	claim := newClaim()
	claim.Retention = retention
	start(t, s, claim)

	res, err := s.Complete(t.Context(), completion(claim, "paid"))
	ends := must(t, res, err).Record.ExpiresAt

	if life := ends.Sub(res.Now); life != retention {
		t.Errorf("it lives for %v", life)
	}

	eventually(t, "the retention ends", func() bool {
		res, err := s.Claim(t.Context(), claimOn(claim.Key))

		switch {
		case err != nil:
			t.Fatal(err)
		case res.Applied:
			if res.Now.Before(ends) {
				t.Errorf("a claim wins at %v, before %v", res.Now, ends)
			}
		default:
			replays++

			// The key lives to the end of its last millisecond. The server counts from when it stores the outcome,
			// which may be a moment after it has read its clock.
			off := res.Record.ExpiresAt.Sub(ends)
			if res.Now.After(res.Record.ExpiresAt) || string(res.Record.Outcome) != "paid" || off < 0 || off > retention/2 {
				t.Fatalf("a replay at %v of %+v, which ends at %v", res.Now, res.Record, ends)
			}
		}

		return res.Applied
	})

	return replays
}

func TestF29OldTimeOrderedKeyIsLookedUpAndNeverClaimed(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)
	e := newEngine(t, open(t, server.URL()))

	for age, want := range map[time.Duration][2]string{
		48 * time.Hour: {string(onlyonce.ReasonKeyExpired), string(onlyonce.ReasonKeyExpired)},
		20 * time.Hour: {string(onlyonce.StatusExecuted), string(onlyonce.StatusReplayed)},
		time.Hour:      {string(onlyonce.StatusExecuted), string(onlyonce.StatusReplayed)},
	} {
		digits := fmt.Sprintf("%012x", time.Now().Add(-age).UnixMilli())
		old := callOf("10 EUR")
		old.Key, old.TimeOrdered = digits[:8]+"-"+digits[8:]+"-7000-8000-000000000000", true

		runs := 0

		for _, want := range want {
			if got := callAs(t, e, old, func() { runs++ }); got != want {
				t.Errorf("a key of %v: %s, want %s", age, got, want)
			}
		}

		if want[0] == string(onlyonce.StatusExecuted) != (runs == 1) {
			t.Errorf("a key of %v: %d runs", age, runs)
		}
	}
}

package onlyonce_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestStatsCountWhatTheEngineHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 4, MaxWaiters: 7, MaxPending: 9, MaxPendingBytes: 11}),
			onlyonce.WithPolicy(onlyonce.Policy{Lease: 10 * time.Second}))

		var p payments

		ctx, cancel := context.WithCancel(t.Context())
		detached := inBackground(ctx, e, pay("gone"), p.lasting(time.Minute))
		running := inBackground(t.Context(), e, pay("k"), p.lasting(time.Minute))

		synctest.Wait()

		waiting := inBackground(t.Context(), e, pay("k"), p.do)

		cancel()
		time.Sleep(9 * time.Second)

		got := e.Stats()
		want := onlyonce.Stats{
			Calls: 3, Waiters: 1, MaxWaiters: 7, Detached: 1, MaxDetached: 4, MaxPending: 9, MaxPendingBytes: 11, Renewals: got.Renewals,
		}

		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}

		if got.Renewals < 2 {
			t.Errorf("%d renewals of two leases of 10 s in 9 s", got.Renewals)
		}

		<-running
		<-waiting
		<-detached

		s.broken(lostRequest, opComplete)
		do(t, e, pay("late"), p.do).mustBe(t, onlyonce.StatusUnrecorded, "#3")

		if got := e.Stats(); got.Calls != 0 || got.Waiters != 0 || got.Detached != 0 || got.Pending != 1 || got.PendingBytes < 1 {
			t.Errorf("after the calls: %+v", got)
		}

		s.broken(nil, opComplete)
		time.Sleep(time.Minute)

		if got := e.Stats(); got.Pending != 0 || got.PendingBytes != 0 {
			t.Errorf("at the end: %+v", got)
		}
	})
}

// A duplicate on another server polls the store. Its wait is no time that the engine has added.
func TestWaitForARunOnAnotherServerIsInTheEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := memstore.New()
		here, there := newEngine(t, s, onlyonce.WithObserver(seen)), newEngine(t, s)

		var p payments

		running := inBackground(t.Context(), there, pay("k"), p.lasting(time.Second))

		synctest.Wait()
		do(t, here, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		<-running

		event := seen.of(onlyonce.EventCall)[0]
		if event.Waited < 900*time.Millisecond || event.Waited > event.Total || event.Run != 0 {
			t.Errorf("the call took %v, and waited for %v", event.Total, event.Waited)
		}
	})
}

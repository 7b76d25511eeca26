package onlyonce_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// slowLedger finds the effect after three seconds.
func slowLedger() *ledger {
	return &ledger{takes: 3 * time.Second, found: onlyonce.Happened("OK", []byte("receipt"))}
}

func (l *ledger) mustHaveBeenAskedOnce(t *testing.T) {
	t.Helper()

	if n := l.asked.Load(); n != 1 {
		t.Errorf("the recovery function was asked %d times, want once", n)
	}
}

func TestF23LeaderWithAShortDeadlineOfARecoveryDoesNotEndTheWaitOfTheOthers(t *testing.T) {
	t.Parallel()

	for _, g := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				engine := afterCrash(t, g)
				found := slowLedger()

				var p payments

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()

				began := time.Now()
				short := inBackground(ctx, engine, found.pay(), p.do)

				synctest.Wait()

				patient := make([]<-chan answer, 10)
				for i := range patient {
					patient[i] = inBackground(t.Context(), engine, found.pay(), p.do)
				}

				left := <-short
				if took := left.at.Sub(began); left.err == nil || took != 900*time.Millisecond {
					t.Errorf("the caller with the short deadline got %v after %v, want a rejection a tenth before its deadline", left.err, took)
				}

				for _, a := range patient {
					got := <-a
					got.mustBe(t, onlyonce.StatusReplayed, "receipt")

					if took := got.at.Sub(began); took != 3*time.Second {
						t.Errorf("a patient one was answered after %v, want 3s", took)
					}
				}

				p.mustHaveRun(t, 0)
				found.mustHaveBeenAskedOnce(t)
			})
		})
	}
}

// The run ends ambiguously while duplicates wait. One of them calls the recovery function before any is rejected.
func TestFollowersOfARunThatIsHeldRecoverIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())
		found := slowLedger()

		var p payments

		owner := inBackground(t.Context(), engine, found.pay(), func(context.Context) ([]byte, error) {
			time.Sleep(time.Second)
			p.runs.Add(1)

			return nil, errLine
		})

		synctest.Wait()

		waiting := make([]<-chan answer, 10)
		for i := range waiting {
			waiting[i] = inBackground(t.Context(), engine, found.pay(), p.do)
		}

		(<-owner).mustFail(t, onlyonce.StatusUnknown, errLine)

		for _, a := range waiting {
			(<-a).mustBe(t, onlyonce.StatusReplayed, "receipt")
		}

		p.mustHaveRun(t, 1)
		found.mustHaveBeenAskedOnce(t)
	})
}

func TestFollowersOfARecoveryWaitForItEvenWhereTheyDoNotWaitForARun(t *testing.T) {
	t.Parallel()

	for _, patience := range []time.Duration{onlyonce.NoWait, time.Second} {
		t.Run(patience.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				engine := afterCrash(t, onlyonce.AtMostOnce, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: patience}))
				found := slowLedger()

				var p payments

				first := inBackground(t.Context(), engine, found.pay(), p.do)

				synctest.Wait()

				second := inBackground(t.Context(), engine, found.pay(), p.do)

				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()

				began := time.Now()
				short := <-inBackground(ctx, engine, found.pay(), p.do)
				short.mustBeRejected(t, onlyonce.ReasonInProgress)

				if took := short.at.Sub(began); took != 1800*time.Millisecond {
					t.Errorf("the caller with the short deadline was answered after %v, want 200ms before its deadline", took)
				}

				(<-second).mustBe(t, onlyonce.StatusReplayed, "receipt")
				(<-first).mustBe(t, onlyonce.StatusReplayed, "receipt")
				found.mustHaveBeenAskedOnce(t)
			})
		})
	}
}

func TestFollowersOfARecoveryThatHangsAreAnsweredWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: onlyonce.NoWait}))
		found := &ledger{takes: time.Minute}

		var p payments

		began := time.Now()
		first := inBackground(t.Context(), engine, found.pay(), p.do)

		synctest.Wait()

		for _, a := range []<-chan answer{inBackground(t.Context(), engine, found.pay(), p.do), first} {
			got := <-a
			got.mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)

			if took := got.at.Sub(began); took != 5*time.Second {
				t.Errorf("answered after %v, want RecoverTimeout", took)
			}
		}

		if err := engine.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

// Once a run has begun, followers have the patience that they have with a run.
func TestFollowersOfARecoveryThatLeadsToARunDoNotOutwaitTheirPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: onlyonce.NoWait}))
		found := &ledger{takes: 3 * time.Second, found: onlyonce.DidNotHappen()}

		time.Sleep(onlyonce.DefaultMaxRun) // the owner is dead

		var p payments

		began := time.Now()
		first := inBackground(t.Context(), engine, found.pay(), p.lasting(time.Second))

		synctest.Wait()

		got := do(t, engine, found.pay(), p.do)
		got.mustBeRejected(t, onlyonce.ReasonInProgress)

		if took := got.at.Sub(began); took != 3*time.Second {
			t.Errorf("the follower was told after %v, want when the run began", took)
		}

		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

// A leader may wait for a run, then run the recovery function, and then wait for another run.
func TestFollowersOfARecoveryKnowWhenSomebodyElseRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := memstore.New()
		crashed(t, records, "k", onlyonce.AtMostOnce, onlyonce.DefaultLease)

		first := newEngine(t, records, onlyonce.WithPolicy(onlyonce.Policy{MaxWait: 2 * time.Minute}),
			onlyonce.WithLimits(onlyonce.Limits{RecoverTimeout: time.Minute}))
		second := newEngine(t, records)
		found := &ledger{takes: 30 * time.Second}

		var p payments

		began := time.Now()
		leader := inBackground(t.Context(), first, found.pay(), p.do)

		synctest.Wait()

		call := found.pay()
		call.Policy = &onlyonce.Policy{MaxWait: 50 * time.Second}
		follower := inBackground(t.Context(), first, call, p.do)

		time.Sleep(41 * time.Second) // the owner is dead, and the recovery at work from the end of the lease to second 45

		if err := second.Resolve(t.Context(), record(t, second, "k"), onlyonce.DidNotHappen()); err != nil {
			t.Fatal(err)
		}

		running := inBackground(t.Context(), second, pay("k"), p.lasting(20*time.Second))

		got := <-follower
		got.mustBeRejected(t, onlyonce.ReasonInProgress)

		if took := got.at.Sub(began); took != 50*time.Second {
			t.Errorf("the follower was told after %v, want when its patience was over", took)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-leader).mustBe(t, onlyonce.StatusReplayed, "#1")
		found.mustHaveBeenAskedOnce(t)
	})
}

func TestF34RecoveredAnswerOverTheCapIsKeptAsDoneWithoutItsBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce, onlyonce.WithPolicy(onlyonce.Policy{MaxOutcome: 4}))
		found := &ledger{found: onlyonce.Happened("OK", []byte("paid!"))}

		var p payments

		for range 2 {
			rejection := do(t, engine, found.pay(), p.do).rejection(t, onlyonce.ReasonOutcomeNotStored)
			if rejection.Metadata["original_code"] != "OK" {
				t.Errorf("the metadata is %v, want the code OK", rejection.Metadata)
			}
		}

		if rec := record(t, engine, "k"); !rec.NotStored || len(rec.Body) != 0 {
			t.Errorf("the record is %+v", rec)
		}

		found.mustHaveBeenAskedOnce(t)
		p.mustHaveRun(t, 0)
	})
}

func TestRecoveryIsNotWaitedForByThoseWhoMayNotSeeTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce)
		found := slowLedger()

		var p payments

		leader := inBackground(t.Context(), engine, found.pay(), p.do)

		synctest.Wait()

		began := time.Now()
		forbidden := found.pay()
		forbidden.ReplayCheck = func(context.Context) error { return errForbidden }

		if got := do(t, engine, forbidden, p.do); !errors.Is(got.err, errForbidden) || got.at != began {
			t.Errorf("got %v after %v, want the check's error at once", got.err, got.at.Sub(began))
		}

		(<-leader).mustBe(t, onlyonce.StatusReplayed, "receipt")
	})
}

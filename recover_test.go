package onlyonce_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// ledger is a recovery function that counts its calls.
type ledger struct {
	asked atomic.Int64
	found onlyonce.Finding
	err   error
	takes time.Duration
}

func (l *ledger) recover(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
	l.asked.Add(1)
	time.Sleep(l.takes)

	return l.found, l.err
}

func (l *ledger) pay() onlyonce.Call {
	call := pay("k")
	call.Recover = l.recover

	return call
}

// afterCrash is an engine whose store has the record of a run that died in its handler, one second after the end of its lease.
func afterCrash(t *testing.T, g onlyonce.Guarantee, opts ...onlyonce.Option) *onlyonce.Engine {
	t.Helper()

	records := memstore.New()
	_ = crashed(t, records, "k", g, onlyonce.DefaultLease)

	time.Sleep(onlyonce.DefaultLease + time.Second)

	return newEngine(t, records, append(opts, withGuarantee(g))...)
}

func TestF04RecoveryThatFindsTheEffectRecordsIt(t *testing.T) {
	t.Parallel()

	for _, g := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				engine := afterCrash(t, g)
				found := &ledger{found: onlyonce.Happened("OK", []byte("receipt"))}

				var p payments

				do(t, engine, found.pay(), p.do).mustBe(t, onlyonce.StatusReplayed, "receipt")
				do(t, engine, found.pay(), p.do).mustBe(t, onlyonce.StatusReplayed, "receipt")
				p.mustHaveRun(t, 0)

				if n := found.asked.Load(); n != 1 {
					t.Errorf("the recovery function was asked %d times, want once", n)
				}
			})
		})
	}
}

func TestF04DidNotHappenIsAcceptedOnlyWhenTheOwnerIsDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failed atomic.Int64

		observer := onlyonce.ObserverFunc(func(_ context.Context, e onlyonce.Event) {
			if e.Kind == onlyonce.EventRecoverFailed && errors.Is(e.Err, onlyonce.ErrOwnerMayBeAlive) {
				failed.Add(1)
			}
		})
		engine := afterCrash(t, onlyonce.AtMostOnce, onlyonce.WithObserver(observer))
		found := &ledger{found: onlyonce.DidNotHappen()}

		var p payments

		do(t, engine, found.pay(), p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)

		if failed.Load() != 1 {
			t.Error("the observer was not told that the finding was refused")
		}

		time.Sleep(onlyonce.DefaultMaxRun)

		do(t, engine, found.pay(), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		p.mustHaveRun(t, 1)
	})
}

func TestRecoveryThatFindsOutNothingLeavesItToTheGuarantee(t *testing.T) {
	t.Parallel()

	for name, asked := range map[string]onlyonce.RecoverFunc{
		"still unknown": func(context.Context, onlyonce.Record) (onlyonce.Finding, error) { return onlyonce.StillUnknown(), nil },
		"error": func(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
			return onlyonce.Happened("", nil), errLine
		},
		"panic": func(context.Context, onlyonce.Record) (onlyonce.Finding, error) { panic("no") },
		"too slow": func(ctx context.Context, _ onlyonce.Record) (onlyonce.Finding, error) {
			<-ctx.Done()

			return onlyonce.StillUnknown(), ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Int64

				observer := onlyonce.ObserverFunc(func(_ context.Context, e onlyonce.Event) {
					if e.Kind == onlyonce.EventRecoverFailed {
						told.Add(1)
					}
				})

				var p payments

				call := pay("k")
				call.Recover = asked

				strict := afterCrash(t, onlyonce.AtMostOnce, onlyonce.WithObserver(observer))
				do(t, strict, call, p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
				p.mustHaveRun(t, 0)

				lax := afterCrash(t, onlyonce.AtLeastOnce, onlyonce.WithObserver(observer))
				do(t, lax, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

				synctest.Wait()

				if want := int64(2); name != "still unknown" && told.Load() != want {
					t.Errorf("the observer was told %d times, want %d", told.Load(), want)
				}
			})
		})
	}
}

func TestOneCallRunsTheRecoveryFunctionAndTheOthersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce)
		found := &ledger{takes: 3 * time.Second, found: onlyonce.Happened("OK", []byte("receipt"))}

		var p payments

		answers := make([]<-chan answer, 50)
		for i := range answers {
			answers[i] = inBackground(t.Context(), engine, found.pay(), p.do)
		}

		synctest.Wait()

		other := payOther("k")
		other.Recover = found.recover
		do(t, engine, other, p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)

		for _, a := range answers {
			(<-a).mustBe(t, onlyonce.StatusReplayed, "receipt")
		}

		if n := found.asked.Load(); n != 1 {
			t.Errorf("the recovery function was asked %d times, want once", n)
		}
	})
}

func TestRecoveryGoesOnWhenItsCallerHasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce)
		found := &ledger{takes: 3 * time.Second, found: onlyonce.Happened("OK", []byte("receipt"))}

		var p payments

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		leaving := <-inBackground(ctx, engine, found.pay(), p.do)
		leaving.mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)

		do(t, engine, found.pay(), p.do).mustBe(t, onlyonce.StatusReplayed, "receipt")

		if n := found.asked.Load(); n != 1 {
			t.Errorf("the recovery function was asked %d times, want once", n)
		}
	})
}

// A recovery function that hangs and ignores its context occupies one goroutine in total, not one for each call.
func TestRecoveryThatHangsIsNotStartedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce)
		found := &ledger{takes: time.Hour}

		var p payments

		for range 5 {
			do(t, engine, found.pay(), p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
		}

		if n := found.asked.Load(); n != 1 {
			t.Errorf("the recovery function was asked %d times, want once", n)
		}

		if err := engine.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

func TestRecoveryThatIsTooLateForItsCallSettlesTheRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce)
		found := &ledger{takes: time.Minute, found: onlyonce.Happened("OK", []byte("receipt"))}

		var p payments

		do(t, engine, found.pay(), p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)
		time.Sleep(time.Minute)
		do(t, engine, found.pay(), p.do).mustBe(t, onlyonce.StatusReplayed, "receipt")

		if n := found.asked.Load(); n != 1 {
			t.Errorf("the recovery function was asked %d times, want once", n)
		}
	})
}

func TestRecoveryOfAHeldOutcomeGetsItsRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())

		var p payments

		_ = do(t, engine, pay("k"), p.failing(errLine))

		call := pay("k")
		call.Recover = func(_ context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
			if rec.State != store.Unknown || !rec.Unknown || rec.Code != "ERROR" || rec.Method != method || rec.ReadableKey != "k" {
				t.Errorf("the recovery function sees %+v", rec)
			}

			return onlyonce.Happened("OK", []byte("late")), nil
		}

		do(t, engine, call, p.do).mustBe(t, onlyonce.StatusReplayed, "late")
	})
}

func TestRecoveryDoesNotRunForACallerWhoFailsTheReplayCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtLeastOnce)
		found := &ledger{}

		var p payments

		call := found.pay()
		call.ReplayCheck = func(context.Context) error { return errLine }

		if got := do(t, engine, call, p.do); !errors.Is(got.err, errLine) {
			t.Errorf("got %v, want the check's error", got.err)
		}

		if found.asked.Load() != 0 {
			t.Error("the recovery function was asked")
		}
	})
}

// A later run's NotExecuted proves nothing about an earlier run.
func TestNotExecutedAfterADoubtfulRunIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtLeastOnce)

		var p payments

		got := do(t, engine, pay("k"), p.failing(onlyonce.NotExecuted(errLine)))
		got.mustFail(t, onlyonce.StatusUnknown, errLine)

		if outcome := onlyonce.VerdictOf(got.err); outcome != onlyonce.VerdictUnknown {
			t.Errorf("VerdictOf = %v, want unknown: the run that died may have paid", outcome)
		}

		fresh := newEngine(t, memstore.New(), withGuarantee(onlyonce.AtLeastOnce))

		do(t, fresh, pay("k"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)
		do(t, fresh, pay("k"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusUnknown, errLine)
	})
}

func TestFindingsHaveNames(t *testing.T) {
	t.Parallel()

	for want, finding := range map[string]onlyonce.Finding{
		"still unknown": {}, "happened": onlyonce.Happened("OK", nil), "did not happen": onlyonce.DidNotHappen(),
	} {
		if got := finding.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

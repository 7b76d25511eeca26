package onlyonce_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// ledger is a recovery function that counts how often it is asked.
type ledger struct {
	asked atomic.Int64
	found onlyonce.Recovery
	err   error
	takes time.Duration
}

func (l *ledger) recover(context.Context, onlyonce.Record) (onlyonce.Recovery, error) {
	l.asked.Add(1)
	time.Sleep(l.takes)

	return l.found, l.err
}

func (l *ledger) pay() onlyonce.Call {
	call := pay("k")
	call.Recover = l.recover

	return call
}

// afterCrash is an engine whose store has a record of a run that died inside the handler, a second after its lease.
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
				found := &ledger{found: onlyonce.Recovery{Finding: onlyonce.Happened, Code: "OK", Body: []byte("receipt")}}

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

func TestF04RecoveryThatFindsNothingIsBelievedOnlyWhenTheOwnerIsDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failed atomic.Int64

		observer := onlyonce.ObserverFunc(func(_ context.Context, e onlyonce.Event) {
			if e.Kind == onlyonce.EventRecoverFailed && errors.Is(e.Err, onlyonce.ErrOwnerMayBeAlive) {
				failed.Add(1)
			}
		})
		engine := afterCrash(t, onlyonce.AtMostOnce, onlyonce.WithObserver(observer))
		found := &ledger{found: onlyonce.Recovery{Finding: onlyonce.DidNotHappen}}

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
		"still unknown": func(context.Context, onlyonce.Record) (onlyonce.Recovery, error) { return onlyonce.Recovery{}, nil },
		"error": func(context.Context, onlyonce.Record) (onlyonce.Recovery, error) {
			return onlyonce.Recovery{Finding: onlyonce.Happened}, errLine
		},
		"panic": func(context.Context, onlyonce.Record) (onlyonce.Recovery, error) { panic("no") },
		"nonsense": func(context.Context, onlyonce.Record) (onlyonce.Recovery, error) {
			return onlyonce.Recovery{Finding: 9}, nil
		},
		"too slow": func(ctx context.Context, _ onlyonce.Record) (onlyonce.Recovery, error) {
			<-ctx.Done()

			return onlyonce.Recovery{}, ctx.Err()
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

func TestOneCallAsksTheRecoveryFunctionAndTheOthersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := afterCrash(t, onlyonce.AtMostOnce)
		found := &ledger{takes: 3 * time.Second, found: onlyonce.Recovery{Finding: onlyonce.Happened, Code: "OK", Body: []byte("receipt")}}

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
		found := &ledger{takes: 3 * time.Second, found: onlyonce.Recovery{Finding: onlyonce.Happened, Code: "OK", Body: []byte("receipt")}}

		var p payments

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		hasty := <-inBackground(ctx, engine, found.pay(), p.do)
		hasty.mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)

		do(t, engine, found.pay(), p.do).mustBe(t, onlyonce.StatusReplayed, "receipt")

		if n := found.asked.Load(); n != 1 {
			t.Errorf("the recovery function was asked %d times, want once", n)
		}
	})
}

// A recovery function that hangs and does not look at its context costs one goroutine and not one for each call.
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

func TestRecoveryIsAskedAboutAHeldOutcomeAndSeesItsRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())

		var p payments

		_ = do(t, engine, pay("k"), p.failing(errLine))

		call := pay("k")
		call.Recover = func(_ context.Context, rec onlyonce.Record) (onlyonce.Recovery, error) {
			if rec.State != store.Unknown || !rec.Unsettled || rec.Code != "ERROR" || rec.Method != method || rec.ReadableKey != "k" {
				t.Errorf("the recovery function sees %+v", rec)
			}

			return onlyonce.Recovery{Finding: onlyonce.Happened, Code: "OK", Body: []byte("late")}, nil
		}

		do(t, engine, call, p.do).mustBe(t, onlyonce.StatusReplayed, "late")
	})
}

func TestRecoveryIsNotAskedForThoseWhoMayNotSeeTheAnswer(t *testing.T) {
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

// What a later run says of itself is no word about an earlier one.
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

	for finding, want := range map[onlyonce.Finding]string{
		onlyonce.StillUnknown: "still unknown", onlyonce.Happened: "happened", onlyonce.DidNotHappen: "did not happen", 9: "9",
	} {
		if got := finding.String(); !strings.Contains(got, want) {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}
